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
from mlrepro.settings.run_id import parse_run_id

NOT_RUN = "not run"
ONE_SEED = "one seed"
HOLDS = "holds"
HOLDS_BY_LESS = "holds, by less"
REVERSED = "reversed"
UNDECIDED = "cannot be told apart"
HIGHER = "higher"
LOWER = "lower"

# In the order in which a summary counts them.
VERDICTS = (HOLDS, HOLDS_BY_LESS, REVERSED, HIGHER, LOWER, UNDECIDED, ONE_SEED, NOT_RUN)

# Backbones that have a column each in the summary; of more, the pairs are counted.
MOST_COLUMNS = 4


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
            return ONE_SEED
        if not self.difference.is_told_apart:
            return UNDECIDED

        is_above = self.difference.points > 0
        rises = self.claim.rises(self.metric)
        if rises is None:
            return HIGHER if is_above else LOWER
        if is_above != rises:
            return REVERSED
        return HOLDS_BY_LESS if self._is_less_than_printed else HOLDS

    @property
    def _is_less_than_printed(self) -> bool:
        """Whether a number is printed, and the whole interval is nearer to zero than it."""
        printed = self.claim.expected[self.metric]
        if isinstance(printed, str):
            return False
        farthest = max(abs(end) for end in self.difference.interval)
        return farthest < abs(printed)

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
    with_them = []
    for one in measured:
        if one.is_tested:
            one = replace(one, difference=next(left))
        with_them.append(one)
    return with_them


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
    """A row a claim and metric: what is printed, and what each backbone's pair says of it.

    Where a claim has several pairs of one backbone, or where there are many backbones, the pairs of
    each verdict are counted instead.
    """
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.claim.claim, one.metric), []).append(one)

    backbones = _columns(list(groups.values()))
    rows = []
    shown = None
    for (claim, metric), group in groups.items():
        # A claim is named beside the first of its metrics.
        names = ["", ""]
        if claim != shown:
            names = [claim, group[0].claim.source]
            shown = claim

        printed = [_heading(metric), _printed(group[0].claim, metric)]
        measured_cells = _by_backbone(group, backbones) if backbones else _counted(group)
        rows.append([*names, *printed, *measured_cells])

    headers = ["claim", "where", "metric", "printed"]
    if backbones:
        return table("lllr" + "r" * len(backbones), [*headers, *backbones], rows)
    return table("lllrrl", [*headers, "measured", "verdict (pairs)"], rows)


def _columns(groups: Sequence[Sequence[Measured]]) -> list[str]:
    """The backbones, in their order, where each has at most one pair of a claim; else none."""
    backbones: dict[str, None] = {}
    for group in groups:
        of_group = [_backbone(one) for one in group]
        if len(set(of_group)) < len(of_group):
            return []
        backbones |= dict.fromkeys(of_group)
    return list(backbones) if 1 < len(backbones) <= MOST_COLUMNS else []


def _backbone(one: Measured) -> str:
    return parse_run_id(one.first).backbone


def _by_backbone(group: Sequence[Measured], backbones: Sequence[str]) -> list[str]:
    """A cell a backbone, its difference and verdict."""
    cells = {_backbone(one): _difference_and_verdict(one) for one in group}
    return [cells.get(backbone, ABSENT) for backbone in backbones]


def _difference_and_verdict(one: Measured) -> str:
    if one.difference is None:
        return one.verdict
    points = f"{one.difference.points:+.2f}"
    return f"≈ {points}" if one.verdict == UNDECIDED else f"{one.verdict} {points}"


def _counted(group: Sequence[Measured]) -> list[str]:
    """Two cells: from the lowest to the highest difference, and how many pairs say what."""
    differences = [one.difference.points for one in group if one.difference]
    pairs = Counter(one.verdict for one in group)
    counts = [f"{verdict} ({pairs[verdict]})" for verdict in VERDICTS if pairs[verdict]]
    return [_range(differences), ", ".join(counts)]


def detail_table(measured: Sequence[Measured]) -> str:
    """A row a claim, metric and pair of runs."""
    rows = []
    for one in measured:
        rows.append(
            [
                one.claim.claim,
                _heading(one.metric),
                _with_interval(one),
                ABSENT if one.share is None else f"{one.share:+.1f} %",
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
    rises = claim.rises(metric)
    if rises is None:
        return ABSENT
    expected = claim.expected[metric]
    if isinstance(expected, str):
        return HIGHER if rises else LOWER
    return f"{expected:+g}"


def _range(differences: list[float]) -> str:
    if not differences:
        return ABSENT
    lowest = f"{min(differences):+.2f}"
    highest = f"{max(differences):+.2f}"
    # Compared as they are shown.
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _with_interval(one: Measured) -> str:
    if one.difference is None:
        return ABSENT
    points = f"{one.difference.points:+.2f}"
    return f"{points} ± {one.difference.margin:.2f}" if one.is_tested else points
