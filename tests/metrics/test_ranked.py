"""Average precisions of other code: tied pictures by row, all decisions together, by picture."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mlrepro.metrics.average_precision import average_precision
from mlrepro.metrics.ranked import (
    average_precision_by_row,
    pooled_average_precision,
    sample_average_precision,
)


@pytest.fixture
def scores_and_labels() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = (random.random((60, 6)) < 0.3).astype(int)
    scores = np.round(random.random(labels.shape) + 0.3 * labels, 1)
    return scores, labels


def loop_over_ranking(scores: np.ndarray, positive: np.ndarray) -> float:
    """As ASL's code: precision at each positive of a sorted ranking."""
    hits = 0
    precisions = []
    for rank, row in enumerate(sorted(range(len(scores)), key=lambda row: -scores[row]), 1):
        if positive[row]:
            hits += 1
            precisions.append(hits / rank)
    return np.mean(precisions)


def test_tied_pictures_one_by_one(scores_and_labels):
    scores, labels = scores_and_labels
    labels = labels.copy()
    labels[::7] = -1
    judged = labels[:, 0] != -1
    for later_first in (False, True):
        step = -1 if later_first else 1
        expected = [
            loop_over_ranking(scores[judged, k][::step], labels[judged, k][::step] == 1)
            for k in range(labels.shape[1])
        ]
        found = average_precision_by_row(scores, labels, later_first)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_without_ties_it_is_the_exact_one(scores_and_labels):
    _, labels = scores_and_labels
    scores = np.random.default_rng(1).permutation(labels.size).reshape(labels.shape).astype(float)
    exact = average_precision(scores, labels)
    np.testing.assert_allclose(average_precision_by_row(scores, labels), exact, atol=1e-12)
    assert np.isnan(average_precision_by_row(scores, np.zeros_like(labels))).all()


def test_means_over_decisions_and_pictures_are_scikit_learns(scores_and_labels):
    scores, labels = scores_and_labels
    labels[0] = 0
    micro = 100 * average_precision_score(labels, scores, average="micro")
    assert pooled_average_precision(scores, labels) == pytest.approx(micro)

    with_labels = labels.any(axis=1)
    samples = average_precision_score(labels[with_labels], scores[with_labels], average="samples")
    expected = 100 * samples * with_labels.mean()  # a picture without a label counts 0
    assert sample_average_precision(scores, labels) == pytest.approx(expected)


def test_ignored_entries_are_left_out():
    scores = np.array([[0.9, 0.8, 0.1]])
    assert sample_average_precision(scores, np.array([[0, 1, 0]])) == pytest.approx(50)
    assert sample_average_precision(scores, np.array([[-1, 1, 0]])) == pytest.approx(100)
    assert pooled_average_precision(scores, np.array([[-1, 1, 0]])) == pytest.approx(100)
