"""Which runs of a page can be told apart by their test mAP.

Runs whose records keep resamples of the same test pictures (resamples.py) are compared in pairs.
Records of older versions keep none: their runs are compared as if each had been scored on pictures
of its own, which is too careful.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mlrepro.judging import MINIMUM_TOLERANCE, mean_map, metric_values, standard_error
from mlrepro.pairs import (
    Difference,
    SeedVariance,
    adjust,
    difference,
    paired_difference,
    paired_seeds,
    separate_seeds,
)
from mlrepro.records import Record, Records

METRIC = "mAP"


@dataclass(frozen=True)
class RunPair:
    """Two runs, the first of which is the higher in rank.

    is_paired: whether both were measured on the same resamples of the same pictures.
    smallest:  points that a difference must exceed, however sure it is. One seed says nothing of
               others, and a re-run of the same code may differ as much.
    """

    first: str
    second: str
    difference: Difference
    is_paired: bool
    smallest: float

    @property
    def is_told_apart(self) -> bool:
        return self.difference.is_told_apart and abs(self.difference.points) > self.smallest

    @property
    def is_apart_unpaired(self) -> bool:
        return self.difference.is_apart_unpaired and abs(self.difference.points) > self.smallest


@dataclass(frozen=True)
class RunPairs:
    """All pairs of a page's runs, in rank order."""

    pairs: list[RunPair]

    def between(self, first: str, second: str) -> RunPair:
        """Of any two of the runs, whichever is the higher in rank."""
        by_runs = {frozenset((pair.first, pair.second)): pair for pair in self.pairs}
        return by_runs[frozenset((first, second))]

    @property
    def ties(self) -> set[str]:
        """Runs that cannot be told apart from the first in rank."""
        return {pair.second for pair in self.of_first if not pair.is_told_apart}

    @property
    def of_first(self) -> list[RunPair]:
        """Those of the first run in rank."""
        return [pair for pair in self.pairs if pair.first == self.pairs[0].first]

    @property
    def told_apart(self) -> int:
        return sum(pair.is_told_apart for pair in self.pairs)

    @property
    def apart_unpaired(self) -> int:
        """How many it would be if each run had been scored on pictures of its own."""
        return sum(pair.is_apart_unpaired for pair in self.pairs)

    @property
    def paired(self) -> int:
        return sum(pair.is_paired for pair in self.pairs)

    @property
    def differences(self) -> list[Difference]:
        return [pair.difference for pair in self.pairs]

    def replaced(self, differences: Sequence[Difference]) -> "RunPairs":
        """The same pairs with these differences."""
        both = zip(self.pairs, differences, strict=True)
        return RunPairs([replace(pair, difference=one) for pair, one in both])


def compare_runs(runs: Records) -> RunPairs:
    """All pairs of ranked runs that have an mAP; p-values are adjusted for all of them."""
    pairs = unadjusted_pairs(runs)
    return pairs.replaced(adjust(pairs.differences))


def unadjusted_pairs(runs: Records) -> RunPairs:
    """The same, for a page that compares more than its runs."""
    scored = [run for run in runs if mean_map(runs[run]) is not None]
    maps = {run: mean_resamples(runs[run]) for run in scored}
    pairs = []
    for first, second in combinations(scored, 2):
        is_paired = same_pictures(runs[first] + runs[second])
        of_both = (maps[first], maps[second]) if is_paired else None
        several_seeds = min(len(runs[first]), len(runs[second])) > 1

        pair = RunPair(
            first=first,
            second=second,
            difference=run_difference(runs[first], runs[second], of_both),
            is_paired=is_paired,
            smallest=0.0 if is_paired and several_seeds else MINIMUM_TOLERANCE,
        )
        pairs.append(pair)
    return RunPairs(pairs)


def run_difference(
    first: list[Record],
    second: list[Record],
    maps: tuple[np.ndarray, np.ndarray] | None,
) -> Difference:
    """Of the mean test mAPs of two runs. maps: of `mean_resamples`, if they can be paired."""
    points = mean_map(first) - mean_map(second)
    seeds = seed_variance(first, second)
    if maps:
        return paired_difference(points, *maps, seeds)

    # Of an mAP without a standard error nothing is known but its seeds.
    errors = [standard_error(records) or 0.0 for records in (first, second)]
    return difference(points, float(np.hypot(*errors)), errors, seeds)


def seed_variance(first: list[Record], second: list[Record]) -> SeedVariance:
    """Seed by seed, where both runs have the same."""
    of_first = metric_values(first, METRIC)
    of_second = metric_values(second, METRIC)
    if [record.seed for record in first] == [record.seed for record in second]:
        return paired_seeds([a - b for a, b in zip(of_first, of_second, strict=True)])
    return separate_seeds(of_first, of_second)


# ---- Resamples -----------------------------------------------------------------------------------


def same_pictures(records: Sequence[Record]) -> bool:
    """Whether all keep resamples, and of the same pictures of one manifest."""
    kinds = set()
    for record in records:
        resamples = record.selected.resamples
        if resamples is None:
            return False
        manifest = record.provenance.manifest_sha256
        kinds.add((manifest, record.splits["test"].used, len(resamples)))
    return len(kinds) == 1


def mean_resamples(records: list[Record]) -> np.ndarray | None:
    """The mean over seeds on each resample, (R,) in percent; none where they cannot be paired."""
    if not same_pictures(records):
        return None
    # An absent value is NaN.
    maps = np.array([record.selected.resamples for record in records], dtype=np.float64)
    return maps.mean(axis=0)
