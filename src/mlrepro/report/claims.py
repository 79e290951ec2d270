"""Whether what a paper claims in words holds here: one change of a run, measured in pairs."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlrepro.judging import metric_values
from mlrepro.metrics.catalogue import all_metrics
from mlrepro.pairs import Difference, difference, paired_difference, paired_seeds
from mlrepro.records import Record, Records
from mlrepro.report.markdown import ABSENT, code, folded, table
from mlrepro.report.render import ANY_PAGE, render_section
from mlrepro.run_pairs import METRIC, mean_resamples, same_pictures
from mlrepro.settings.pipeline import Claim

NOT_RUN = "not run"
HOLDS = "holds"
REVERSED = "reversed"
UNDECIDED = "cannot be told apart"


@dataclass(frozen=True)
class Measured:
    """What one pair of runs says of a claim, in one metric.

    difference: first minus second, the mean over the seeds that both have; none: not run.
    seeds:      how many those are.
    of_second:  the second's value, in percent.
    """

    claim: Claim
    metric: str
    first: str
    second: str
    difference: Difference | None = None
    seeds: int = 0
    of_second: float = 0.0

    @property
    def is_tested(self) -> bool:
        """One seed says nothing of others."""
        return self.seeds > 1

    @property
    def verdict(self) -> str:
        if self.difference is None:
            return NOT_RUN
        if not self.is_tested:
            return "one seed"
        if not self.difference.is_told_apart:
            return UNDECIDED

        is_above = self.difference.points > 0
        rises = self.claim.rises(self.metric)
        if rises is None:
            return "above" if is_above else "below"
        return HOLDS if is_above == rises else REVERSED

    @property
    def share(self) -> float | None:
        """The difference over the second's value, in percent; none where that is 0."""
        if self.difference is None or not self.of_second:
            return None
        return 100 * self.difference.points / self.of_second


def claims_section(measured: Sequence[Measured], page: Path = ANY_PAGE) -> list[str]:
    """A summary and a table with a row a claim, metric and pair; nothing without any claim."""
    if not measured:
        return []

    section = render_section(
        "claims.md.j2",
        page,
        only_questions=all(one.claim.rises(one.metric) is None for one in measured),
        summary=summary_table(measured),
        details=folded(detail_table(measured), len(measured), "Each pair of runs"),
    )
    return [section]


# ---- Measuring ---------------------------------------------------------------------------------


def measure_claims(runs: Records, claims: Sequence[Claim]) -> list[Measured]:
    """Of each claim, metric and pair; p-values are not adjusted."""
    return [measured for claim in claims for measured in _measure_claim(runs, claim)]


def with_differences(
    measured: Sequence[Measured], differences: Sequence[Difference]
) -> list[Measured]:
    """The same with these differences, one for each pair that is tested."""
    left = iter(differences)
    return [replace(one, difference=next(left)) if one.is_tested else one for one in measured]


def _measure_claim(runs: Records, claim: Claim) -> Iterator[Measured]:
    for metric in claim.expected:
        for first, second in claim.pairs:
            both = with_common_seeds(runs.get(first, []), runs.get(second, []), metric)
            yield _measure_pair(Measured(claim, metric, first, second), *both)


def _measure_pair(pair: Measured, first: list[Record], second: list[Record]) -> Measured:
    """first, second: records of the same seeds."""
    if not first:
        return pair

    of_first = metric_values(first, pair.metric)
    of_second = metric_values(second, pair.metric)
    differences = [a - b for a, b in zip(of_first, of_second, strict=True)]
    points = statistics.fmean(differences)
    seeds = paired_seeds(differences)

    # Of other metrics no record keeps resamples of the pictures.
    if pair.metric == METRIC and same_pictures(first + second):
        maps = (mean_resamples(first), mean_resamples(second))
        found = paired_difference(points, *maps, seeds)
    else:
        found = difference(points, 0.0, (), seeds)
    return replace(
        pair,
        difference=found,
        seeds=len(differences),
        of_second=statistics.fmean(of_second),
    )


def with_common_seeds(
    first: list[Record], second: list[Record], metric: str
) -> tuple[list[Record], list[Record]]:
    """The records of both runs whose seeds the other has too, and that hold the metric."""
    by_seed = []
    for records in (first, second):
        values = metric_values(records, metric)
        known = zip(records, values, strict=True)
        by_seed.append({record.seed: record for record, value in known if value is not None})

    common = sorted(by_seed[0].keys() & by_seed[1].keys())
    return [by_seed[0][seed] for seed in common], [by_seed[1][seed] for seed in common]


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
        differences = [one.difference.points for one in group if one.difference]

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
    # In the catalogue it is "exact", beside the other kinds of average precision.
    if metric == "mAP":
        return metric
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
    points = f"{one.difference.points:+.2f}"
    return f"{points} ± {one.difference.margin:.2f}" if one.is_tested else points
