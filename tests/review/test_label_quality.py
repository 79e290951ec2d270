"""The formulas by hand, and beside cleanlab, its authors' library, where that is installed."""

import numpy as np
import pytest

from mlrepro.review.label_quality import (
    adjusted_quality,
    label_issues,
    label_quality,
    picture_quality,
)


def test_quality_by_hand():
    probabilities = np.array([[0.9, 0.2, 0.6], [0.3, 0.5, 0.1]])
    labels = np.array([[1, 1, 0], [0, -1, 0]])
    quality = label_quality(probabilities, labels)
    np.testing.assert_allclose(quality, [[0.9, 0.2, 0.4], [0.7, np.nan, 0.9]])

    # 0.9; 0.8 * 0.4 + 0.2 * 0.9 = 0.5; 0.8 * 0.2 + 0.2 * 0.5 = 0.26. And 0.8 * 0.7 + 0.2 * 0.9.
    np.testing.assert_allclose(picture_quality(quality), [0.26, 0.74])
    np.testing.assert_allclose(picture_quality(np.full((1, 3), np.nan)), [1.0])


def test_a_rare_label_is_not_doubted_for_being_rare():
    """It is given on one of five pictures: odds of 0.25, whose root is 0.5."""
    probabilities = np.array([[0.2], [0.2], [0.1], [0.1], [0.1]])
    labels = np.array([[1], [0], [0], [0], [0]])
    # Odds 0.25 / 0.5: one half, and so a third. Where it is not given, nothing changes.
    expected = [1 / 3, 0.8, 0.9, 0.9, 0.9]
    np.testing.assert_allclose(adjusted_quality(probabilities, labels)[:, 0], expected)


def test_issues_by_hand():
    """Of one label: given on two pictures with mean 0.6, and not on three with mean 0.3."""
    probabilities = np.array([[0.9], [0.3], [0.05], [0.15], [0.7]])
    labels = np.array([[1], [1], [0], [0], [0]])
    # Absent: 1 - p of 0.95, 0.85 and 0.3, on average 0.7, which the second picture's 0.7 reaches.
    assert label_issues(probabilities, labels)[:, 0].tolist() == [False, True, False, False, True]

    # A picture whose label is unknown is no issue, and changes no threshold.
    probabilities = np.vstack([probabilities, [[0.99]]])
    labels = np.vstack([labels, [[-1]]])
    expected = [False, True, False, False, True, False]
    assert label_issues(probabilities, labels)[:, 0].tolist() == expected


def test_a_label_that_is_given_everywhere_has_no_issue():
    assert not label_issues(np.array([[0.1], [0.9]]), np.array([[1], [1]])).any()


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels, of which one in twenty is wrong."""
    random = np.random.default_rng(0)
    truth = random.random((400, 5)) < [0.5, 0.3, 0.2, 0.1, 0.4]
    logits = np.where(truth, 1.5, -1.5) + random.normal(0, 1.2, truth.shape)
    probabilities = 1 / (1 + np.exp(-logits))

    is_wrong = random.random(truth.shape) < 0.05
    labels = truth ^ is_wrong
    return probabilities, labels.astype(int)


def test_like_cleanlab(noisy):
    rank = pytest.importorskip(
        "cleanlab.multilabel_classification.rank",
        reason="cleanlab is not installed: pip install -e '.[dev]'",
    )
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    probabilities, labels = noisy
    lists = [np.flatnonzero(row).tolist() for row in labels]
    quality = label_quality(probabilities, labels)
    expected = rank.get_label_quality_scores_per_class(lists, probabilities)
    np.testing.assert_allclose(quality, expected, atol=1e-12)
    expected = rank.get_label_quality_scores(lists, probabilities)
    np.testing.assert_allclose(picture_quality(quality), expected, atol=1e-12)

    issues = label_issues(probabilities, labels)
    expected = find_multilabel_issues_per_class(
        lists, probabilities, filter_by="confident_learning"
    )
    np.testing.assert_array_equal(issues, np.asarray(expected, bool))
    assert 50 < issues.sum() < 200
