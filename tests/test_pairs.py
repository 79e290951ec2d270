"""Differences of two numbers of the same pictures, beside plain loops and SciPy's tests."""

import math

import numpy as np
import pytest
from scipy import stats

from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.pairs import (
    ONE_SEED,
    adjust,
    difference,
    p_value,
    paired_difference,
    paired_seeds,
    separate_seeds,
)
from mlrepro.resamples import KEPT, as_kept, resampled_maps

PICTURES = 60


@pytest.fixture
def labels() -> np.ndarray:
    return (np.random.default_rng(2).random((PICTURES, 4)) < 0.3).astype(np.int8)


@pytest.fixture
def runs(labels) -> list[list[np.ndarray]]:
    """Scores of two runs with two seeds each: what makes a picture hard is the same for all."""
    random = np.random.default_rng(1)
    hard = random.normal(size=labels.shape) + labels
    return [
        [hard + random.normal(0, spread, hard.shape) for _ in range(2)] for spread in (0.2, 0.6)
    ]


def mean_ap(scores: np.ndarray, labels: np.ndarray) -> float:
    return mean_average_precision(average_precision(scores, labels), "zero")


def test_a_paired_difference_is_that_of_a_double_loop(runs, labels):
    """Over resamples and seeds, each resample scored with scikit-learn's definition."""
    draws = np.random.default_rng(0)
    expected = []
    for _ in range(KEPT):
        rows = draws.integers(PICTURES, size=PICTURES)
        means = [np.mean([mean_ap(seed[rows], labels[rows]) for seed in run]) for run in runs]
        expected.append(means[0] - means[1])

    kept = [
        np.mean([as_kept(resampled_maps(seed, labels, "zero")) for seed in run], axis=0)
        for run in runs
    ]
    found = paired_difference(3.0, *kept)
    assert found.error == pytest.approx(np.std(expected, ddof=1), abs=0.005)  # of two decimals
    assert found.interval == pytest.approx((3 - 1.96 * found.error, 3 + 1.96 * found.error))
    assert found.unpaired > 1.5 * found.error


def test_what_other_seeds_would_change_comes_on_top():
    by_seed = [1.0, 2.0, 1.2, 0.8]
    seeds = paired_seeds(by_seed)
    found = difference(1.25, 0.0, (), seeds)
    expected = stats.ttest_1samp(by_seed, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))

    with_pictures = difference(1.25, 3.0, (), seeds)
    assert with_pictures.error == pytest.approx(math.hypot(3.0, found.error))
    assert with_pictures.freedom > 100  # pictures are most of it, and they are many
    assert paired_seeds([1.0]) == ONE_SEED


def test_seeds_of_their_own_are_those_of_welchs_test():
    first, second = [70.0, 71.0, 70.4], [68.0, 68.2, 69.5, 68.8]
    seeds = separate_seeds(first, second)
    found = difference(np.mean(first) - np.mean(second), 0.0, (), seeds)
    assert found.p == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    assert separate_seeds([1.0], [2.0]) == ONE_SEED


def test_p_values_of_the_normal_distribution():
    assert p_value(1.96, 1.0) == pytest.approx(2 * stats.norm.sf(1.96))
    assert p_value(-40.0, 1.0) < 1e-300
    assert p_value(0.0, 0.0) == 1
    assert p_value(0.1, 0.0) == 0


def test_adjusting_changes_nothing_but_p():
    found = [difference(points, 1.0, (1.0, 1.0)) for points in (3.0, 0.1, 2.0)]
    adjusted = adjust(found)
    expected = stats.false_discovery_control([one.p for one in found])
    assert [one.p for one in adjusted] == pytest.approx(expected)
    assert [one.points for one in adjusted] == [3.0, 0.1, 2.0]
    assert [one.is_told_apart for one in adjusted] == [True, False, False]
    assert adjust([]) == []


def test_resamples_as_a_record_keeps_them():
    assert as_kept(np.array([61.23456, np.nan, 70.0])) == [61.23, None, 70.0]
    assert as_kept(np.full(3, np.nan)) is None
