"""Whether what a paper claims in words holds here: one change of a run, measured in pairs."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlrepro.judging import metric_values
from mlrepro.metrics.catalogue import all_metrics
from mlrepro.records import Record, Records
from mlrepro.report.markdown import ABSENT, code, folded, table
from mlrepro.report.render import ANY_PAGE, render_section
from mlrepro.settings.pipeline import Claim

CONFIDENCE = 0.95

NOT_RUN = "not run"
HOLDS = "holds"
REVERSED = "reversed"
UNDECIDED = "cannot be told apart"


@dataclass(frozen=True)
class Measured:
    """What one pair of runs says of a claim, in one metric.

    difference: first minus second, the mean over the seeds that both have, in points.
    interval:   half of its paired 95 % interval over seeds; none of a single seed.
    share:      the difference over the second's value, in percent; none where that is 0.
    """

    claim: Claim
    metric: str
    first: str
    second: str
    verdict: str
    difference: float | None = None
    interval: float | None = None
    share: float | None = None


def claims_section(runs: Records, claims: Sequence[Claim], page: Path = ANY_PAGE) -> list[str]:
    """A summary and a table with a row a claim, metric and pair; nothing without any claim."""
    if not claims:
        return []

    measured = [judged for claim in claims for judged in judge_claim(runs, claim)]
    section = render_section(
        "claims.md.j2",
        page,
        only_questions=all(one.claim.rises(one.metric) is None for one in measured),
        summary=summary_table(measured),
        details=folded(detail_table(measured), len(measured), "Each pair of runs"),
    )
    return [section]


# ---- Measuring ---------------------------------------------------------------------------------


def judge_claim(runs: Records, claim: Claim) -> Iterator[Measured]:
    """A verdict for each of its metrics and pairs."""
    for metric in claim.expected:
        for first, second in claim.pairs:
            yield _judge_pair(runs, claim, metric, first, second)


def _judge_pair(runs: Records, claim: Claim, metric: str, first: str, second: str) -> Measured:
    pairs = paired_values(runs.get(first, []), runs.get(second, []), metric)
    if not pairs:
        return Measured(claim, metric, first, second, NOT_RUN)

    differences = [of_first - of_second for of_first, of_second in pairs]
    difference = statistics.fmean(differences)
    of_second = statistics.fmean(value for _, value in pairs)
    interval = half_interval(differences)
    return Measured(
        claim,
        metric,
        first,
        second,
        _verdict(difference, interval, claim.rises(metric)),
        difference,
        interval,
        share=100 * difference / of_second if of_second else None,
    )


def paired_values(
    first: list[Record], second: list[Record], metric: str
) -> list[tuple[float, float]]:
    """The metric of both runs, seed by seed, in percent; without seeds that one of them lacks."""
    by_seed = dict(
        zip([record.seed for record in second], metric_values(second, metric), strict=True)
    )
    values = metric_values(first, metric)
    pairs = [(value, by_seed.get(record.seed)) for record, value in zip(first, values, strict=True)]
    return [pair for pair in pairs if None not in pair]


def half_interval(differences: list[float]) -> float | None:
    """Half of Student's 95 % interval of their mean. None of a single one."""
    if len(differences) < 2:
        return None
    from scipy.special import stdtrit  # here: pages without claims need no scipy

    freedom = len(differences) - 1
    quantile = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    return quantile * statistics.stdev(differences) / math.sqrt(len(differences))


def _verdict(difference: float, interval: float | None, rises: bool | None) -> str:
    if interval is None:
        return "one seed"
    if abs(difference) <= interval:
        return UNDECIDED
    if rises is None:
        return "above" if difference > 0 else "below"
    return HOLDS if (difference > 0) == rises else REVERSED


# ---- Tables ------------------------------------------------------------------------------------


def summary_table(measured: Sequence[Measured]) -> str:
    """A row a claim and metric: what is printed, and how many pairs say what."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.claim.claim, one.metric), []).append(one)

    rows = []
    shown = None
    for (claim, metric), group in groups.items():
        verdicts = Counter(one.verdict for one in group)
        said = ", ".join(f"{verdict} ({count})" for verdict, count in verdicts.most_common())
        differences = [one.difference for one in group if one.difference is not None]

        # A claim is named beside the first of its metrics.
        first = claim != shown
        shown = claim
        rows.append(
            [
                claim if first else "",
                group[0].claim.source if first else "",
                _heading(metric),
                _printed(group[0].claim, metric),
                _range(differences),
                said,
            ]
        )
    headers = ["claim", "where", "metric", "printed", "measured", "verdict (pairs)"]
    return table("lllrrl", headers, rows)


def detail_table(measured: Sequence[Measured]) -> str:
    """A row a claim, metric and pair of runs."""
    rows = []
    for one in measured:
        rows.append(
            [
                one.claim.claim,
                _heading(one.metric),
                _with_interval(one),
                ABSENT if one.share is None else f"{one.share:+.0f} %",
                one.verdict,
                code(one.first),
                code(one.second),
            ]
        )
    headers = ["claim", "metric", "difference", "of it", "verdict", "run", "against"]
    return table("llrrlll", headers, rows)


def _heading(metric: str) -> str:
    headings = {known.key: known.header for known in all_metrics()}
    return headings.get(metric, metric)


def _printed(claim: Claim, metric: str) -> str:
    expected = claim.expected[metric]
    if expected == "open":
        return ABSENT
    return expected if isinstance(expected, str) else f"{expected:+g}"


def _range(differences: list[float]) -> str:
    if not differences:
        return ABSENT
    lowest, highest = min(differences), max(differences)
    if f"{lowest:+.2f}" == f"{highest:+.2f}":
        return f"{lowest:+.2f}"
    return f"{lowest:+.2f} to {highest:+.2f}"


def _with_interval(one: Measured) -> str:
    if one.difference is None:
        return ABSENT
    if one.interval is None:
        return f"{one.difference:+.2f}"
    return f"{one.difference:+.2f} ± {one.interval:.2f}"
