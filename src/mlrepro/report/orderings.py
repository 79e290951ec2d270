"""Whether the orderings that a paper claims hold on a comparison's data."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlrepro.judging import NOT_RUN, mean_map, metric_values, noise
from mlrepro.records import Record, Records
from mlrepro.report.markdown import code, number, table
from mlrepro.report.render import ANY_PAGE, render_section
from mlrepro.settings.pipeline import Ordering


@dataclass(frozen=True)
class PairVerdict:
    """What our records say of a claimed pair. In mAP points; none where a run has no mAP.

    difference: of the mean test mAPs, above 0 where the claim holds.
    seed_noise: none also where a run has one seed alone.
    noise:      of seeds and of test pictures.
    """

    higher: str
    lower: str
    verdict: str
    difference: float | None = None
    seed_noise: float | None = None
    noise: float | None = None


def ordering_section(
    runs: Records, orderings: Sequence[Ordering], page: Path = ANY_PAGE
) -> list[str]:
    """A table with a row a claimed pair; nothing where the settings claim none."""
    if not orderings:
        return []
    return [render_section("orderings.md.j2", page, verdicts=ordering_table(runs, orderings))]


def ordering_table(runs: Records, orderings: Sequence[Ordering]) -> str:
    headers = [
        "claim",
        "verdict",
        "difference",
        "noise of seeds",
        "noise",
        "should be higher",
        "than",
    ]
    rows = []
    for ordering in orderings:
        # A claim is named beside the first of its pairs.
        claim = ordering.claim
        for higher, lower in ordering.pairs:
            rows.append([claim, *_cells(judge_pair(runs, higher, lower))])
            claim = ""
    return table("llrrrll", headers, rows)


def _cells(pair: PairVerdict) -> list[str]:
    return [
        pair.verdict,
        number(None) if pair.difference is None else f"{pair.difference:+.2f}",
        number(pair.seed_noise),
        number(pair.noise),
        code(pair.higher),
        code(pair.lower),
    ]


def judge_pair(runs: Records, higher: str, lower: str) -> PairVerdict:
    """Whether the run that should be higher is.

    One that is by more than the noise of seeds, but not by more than the noise, holds on these
    pictures: other test pictures might turn it round.
    """
    if any(run not in runs or mean_map(runs[run]) is None for run in (higher, lower)):
        return PairVerdict(higher, lower, NOT_RUN)

    difference = mean_map(runs[higher]) - mean_map(runs[lower])
    of_seeds = seed_noise(runs[higher], runs[lower])
    of_both = noise(runs[higher], runs[lower])

    if of_seeds is None:
        verdict = "one seed"
    elif abs(difference) <= of_seeds:
        verdict = "cannot be told"
    else:
        verdict = "holds" if difference > 0 else "reversed"
        if abs(difference) <= of_both:
            verdict += " on these pictures"

    return PairVerdict(higher, lower, verdict, difference, of_seeds, of_both)


def seed_noise(first: list[Record], second: list[Record]) -> float | None:
    """Twice the standard error of the difference of mean mAP over seeds, in points.

    None where a run has one seed alone.
    """
    variance = 0.0
    for records in (first, second):
        if len(records) < 2:
            return None
        mAPs = metric_values(records, "mAP")
        variance += statistics.variance(mAPs) / len(mAPs)
    return 2 * math.sqrt(variance)
