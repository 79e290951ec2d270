"""Resamples of the pictures: those of a plain double loop; what they say of a difference."""

import numpy as np
import pytest

from mlrepro.metrics import bootstrap
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.bootstrap import (
    benjamini_hochberg,
    interval,
    resampled_average_precision,
    resampled_map,
    standard_error,
)


@pytest.fixture(params=["numpy", "numba"])
def implementation(request, monkeypatch):
    """Both, whatever the number of pictures."""
    monkeypatch.setattr(bootstrap, "MANY", 1 if request.param == "numba" else 10**9)


@pytest.fixture
def scores_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """With ties, ignored entries, a class with one positive and one without any."""
    random = np.random.default_rng(3)
    scores = random.integers(0, 12, (40, 5)).astype(np.float32)
    labels = random.choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=(40, 5))
    labels[:, 2] = np.arange(40) == 5
    labels[:, 3] = 0
    return scores, labels


def test_resamples_are_those_of_a_double_loop(implementation, scores_and_labels):
    scores, labels = scores_and_labels
    draws = np.random.default_rng(7)
    expected = []
    for _ in range(30):
        rows = draws.integers(40, size=40)
        expected.append(average_precision(scores[rows], labels[rows]))

    found = resampled_average_precision(scores, labels, resamples=30, seed=7)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    for empty in ("zero", "skip"):
        means = [mean_average_precision(ap, empty) for ap in expected]
        np.testing.assert_allclose(resampled_map(found, empty), means, rtol=0, atol=1e-10)


def test_blocks_draw_the_same(implementation, scores_and_labels, monkeypatch):
    scores, labels = scores_and_labels
    whole = resampled_average_precision(scores, labels, resamples=11)
    monkeypatch.setattr(bootstrap, "BLOCK", 4 * 40)  # of the 40 pictures, four resamples at a time
    in_blocks = resampled_average_precision(scores, labels, resamples=11)
    np.testing.assert_array_equal(in_blocks, whole)


def test_pairs_vary_less_than_their_parts():
    """Scores that differ by a little noise share what makes pictures hard."""
    random = np.random.default_rng(1)
    labels = (random.random((300, 4)) < 0.2).astype(int)
    first = random.normal(size=labels.shape) + labels
    second = first + random.normal(0, 0.1, labels.shape)
    first_maps = resampled_map(resampled_average_precision(first, labels, 200))
    second_maps = resampled_map(resampled_average_precision(second, labels, 200))

    of_two_independent = np.hypot(np.std(first_maps), np.std(second_maps))
    assert np.std(first_maps - second_maps) < of_two_independent / 3


def test_intervals_by_hand():
    values = np.append(np.arange(1, 101), np.nan)
    assert interval(values, 0.9) == pytest.approx((5.95, 95.05))  # numpy's quantiles
    assert np.isnan(interval(np.array([np.nan]))).all()


@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_a_standard_error_is_that_of_scoring_each_resample(scores_and_labels, empty):
    scores, labels = scores_and_labels
    draws = np.random.default_rng(0)
    means = []
    for _ in range(20):
        rows = draws.integers(40, size=40)
        ap = average_precision(scores[rows], labels[rows])
        means.append(mean_average_precision(ap, empty))

    maps = resampled_map(resampled_average_precision(scores, labels, 20), empty)
    assert standard_error(maps) == pytest.approx(np.std(means, ddof=1), rel=1e-10)


def test_a_standard_error_where_resamples_lack_positives():
    """One positive among ten pictures: a third of the resamples do not draw it."""
    scores = np.arange(20.0).reshape(10, 2)
    labels = np.zeros((10, 2), np.int8)
    labels[4, 0] = 1

    def error(labels: np.ndarray, empty: str) -> float:
        return standard_error(resampled_map(resampled_average_precision(scores, labels), empty))

    assert error(labels, "skip") > 0
    assert np.isnan(error(labels, "nan"))  # as the mAP is

    labels[6, 1] = 1
    assert error(labels, "nan") == error(labels, "skip") > 0
    assert np.isnan(error(np.zeros_like(labels), "skip"))


def test_benjamini_hochberg_by_hand():
    """The third is raised to 0.04 x 4 / 3, less than the second to 0.03 x 4 / 2: both get it."""
    adjusted = benjamini_hochberg([0.005, 0.04, 0.03, 0.9])
    assert adjusted == pytest.approx([0.02, 0.16 / 3, 0.16 / 3, 0.9])
    assert len(benjamini_hochberg([])) == 0


def test_without_numba_numpy_does_the_work(monkeypatch, scores_and_labels):
    def absent(name):
        raise ImportError(name)

    bootstrap._kernels.cache_clear()
    monkeypatch.setattr(bootstrap, "import_module", absent)
    monkeypatch.setattr(bootstrap, "MANY", 1)
    scores, labels = scores_and_labels
    assert resampled_average_precision(scores, labels, resamples=3).shape == (3, 5)
    bootstrap._kernels.cache_clear()
