"""Whether the orderings that a paper claims hold on a comparison's data."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlrepro.judging import NOT_RUN, mean_map, metric_values
from mlrepro.records import Record, Records
from mlrepro.report.markdown import ABSENT, code, number, table
from mlrepro.report.render import ANY_PAGE, render_section
from mlrepro.run_pairs import RunPairs
from mlrepro.settings.pipeline import Ordering


@dataclass(frozen=True)
class PairVerdict:
    """What our records say of a claimed pair. In mAP points; none where a run has no mAP.

    difference: of the mean test mAPs, above 0 where the claim holds.
    margin:     half of its 95 % interval, over test pictures and seeds.
    seed_noise: none also where a run has one seed alone.
    """

    higher: str
    lower: str
    verdict: str
    difference: float | None = None
    margin: float | None = None
    seed_noise: float | None = None


def ordering_section(
    runs: Records, pairs: RunPairs, orderings: Sequence[Ordering], page: Path = ANY_PAGE
) -> list[str]:
    """A table with a row a claimed pair; nothing where the settings claim none.

    pairs: those of the runs.
    """
    if not orderings:
        return []
    verdicts = ordering_table(runs, pairs, orderings)
    return [render_section("orderings.md.j2", page, verdicts=verdicts)]


def ordering_table(runs: Records, pairs: RunPairs, orderings: Sequence[Ordering]) -> str:
    headers = ["claim", "verdict", "difference", "noise of seeds", "should be higher", "than"]
    rows = []
    for ordering in orderings:
        # A claim is named beside the first of its pairs.
        claim = ordering.claim
        for higher, lower in ordering.pairs:
            rows.append([claim, *_cells(judge_pair(runs, pairs, higher, lower))])
            claim = ""
    return table("llrrll", headers, rows)


def _cells(pair: PairVerdict) -> list[str]:
    difference = ABSENT
    if pair.margin is not None:
        difference = f"{pair.difference:+.2f} ± {pair.margin:.2f}"
    return [
        pair.verdict,
        difference,
        number(pair.seed_noise),
        code(pair.higher),
        code(pair.lower),
    ]


def judge_pair(runs: Records, pairs: RunPairs, higher: str, lower: str) -> PairVerdict:
    """Whether the run that should be higher is.

    One that is by more than the noise of seeds, but cannot be told apart, holds on these pictures:
    other test pictures might turn it round.
    """
    if any(run not in runs or mean_map(runs[run]) is None for run in (higher, lower)):
        return PairVerdict(higher, lower, NOT_RUN)

    difference = mean_map(runs[higher]) - mean_map(runs[lower])
    of_seeds = seed_noise(runs[higher], runs[lower])
    pair = pairs.between(higher, lower)

    if of_seeds is None:
        verdict = "one seed"
    elif abs(difference) <= of_seeds:
        verdict = "cannot be told"
    else:
        verdict = "holds" if difference > 0 else "reversed"
        if not pair.is_told_apart:
            verdict += " on these pictures"

    return PairVerdict(higher, lower, verdict, difference, pair.difference.margin, of_seeds)


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
