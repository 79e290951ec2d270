"""Tuned thresholds against every candidate, and against what deep-object-reid's code finds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score, precision_recall_curve

from mlrepro.metrics.thresholded import thresholded_metrics
from mlrepro.metrics.thresholds import (
    tune_global_threshold,
    tune_shrunk_thresholds,
    tune_thresholds,
    tune_thresholds_released,
)
from mlrepro.training.grid.closed_form import ridge_layers

AAM = Path(__file__).resolve().parents[1] / "golden" / "metrics" / "aam.npz"


def test_agrees_with_the_nan_safe_golden_thresholds():
    with np.load(AAM) as arrays:
        golden = dict(arrays)
    scores = 1 / (1 + np.exp(-golden["logits"]))
    labels = golden["targets"]
    tuned = tune_thresholds(scores, labels)
    theirs = golden["dor_tuned_thresholds"]

    np.testing.assert_allclose(tuned, golden["own_tuned_thresholds_nan_safe"], rtol=1e-12)
    np.testing.assert_allclose(tune_thresholds_released(scores, labels), theirs, rtol=1e-12)
    # Where their search met no 0 / 0 it found the same.
    assert (np.isclose(tuned, theirs) == ~golden["dor_tuning_hit_nan"]).all()

    with_tuned = thresholded_metrics(scores, labels, tuned)
    at_half = thresholded_metrics(scores, labels, 0.5)
    assert with_tuned["macro_F1"] > at_half["macro_F1"]


@given(
    arrays(np.float32, (10, 3), elements=st.integers(-3, 3)),
    arrays(np.int8, (10, 3), elements=st.integers(0, 1)),
)
@settings(max_examples=30, deadline=None)
def test_no_threshold_has_a_better_f1(scores, labels):
    for c, threshold in enumerate(tune_thresholds(scores, labels)):
        if not labels[:, c].any():
            assert threshold == np.inf
            continue
        candidates = np.unique(scores[:, c])
        f1 = [f1_score(labels[:, c], scores[:, c] >= t, zero_division=0) for t in candidates]
        assert threshold == candidates[np.argmax(np.round(f1, 12))]

    overall = tune_global_threshold(scores, labels)
    if labels.any():
        candidates = np.unique(scores)
        micro = [thresholded_metrics(scores, labels, t)["micro_F1"] for t in candidates]
        assert overall == candidates[np.argmax(np.round(micro, 9))]
    else:
        assert overall == np.inf


def argmax_over_scikit_learns_curve(scores, labels):
    """The threshold of one class as AAM's code takes it."""
    precision, recall, thresholds = precision_recall_curve(labels, scores)

    # 0 / 0 is NaN, which argmax takes for the maximum.
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    return thresholds[np.argmax(f1)]


SCORES = arrays(np.float32, (9, 3), elements=st.integers(-5, 5))
LABELS = arrays(np.int8, (9, 3), elements=st.integers(0, 1))


@given(SCORES, LABELS)
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore:No positive class found")
def test_released_is_the_argmax_over_scikit_learns_curve(scores, labels):
    released = tune_thresholds_released(scores, labels)
    wanted = [argmax_over_scikit_learns_curve(scores[:, c], labels[:, c]) for c in range(3)]
    assert released.tolist() == wanted


def test_released_on_classes_that_leave_it_no_choice():
    """A class whose negative ranks first, one without positives, one without any label."""
    scores = np.array([[3.0, 1, 1], [2, 2, 2], [1, 3, 3]])
    labels = np.array([[0, 0, -1], [1, 0, -1], [1, 0, -1]])
    assert tune_thresholds_released(scores, labels).tolist() == [3, 1, np.inf]

    thresholds = np.array([3.0, 1])
    predicted = thresholded_metrics(scores[:, :2], labels[:, :2], thresholds, strict=True)
    assert predicted["OR"] == predicted["OP"] == 0
    assert predicted["label_accuracy"] == pytest.approx(100 * 2 / 6)


def test_of_equally_good_thresholds_the_lowest_is_taken():
    """The first positive alone has an F1 of 2/3, and so have both with two negatives between."""
    scores = np.array([[4.0], [3.0], [2.0], [1.0], [0.0]])
    labels = np.array([[1], [0], [0], [1], [0]])
    assert tune_thresholds(scores, labels) == [1.0]
    assert tune_global_threshold(scores, labels) == 1.0


def test_ignored_pictures_do_not_move_a_threshold():
    scores = np.array([[4.0], [3], [2], [1]])
    labels = np.array([[1], [-1], [1], [0]])
    assert tune_thresholds(scores, labels) == [2.0]
    assert tune_global_threshold(scores, labels) == 2.0

    metrics = thresholded_metrics(scores, labels, 2.0)
    for name in ("OF1", "exact_match", "label_accuracy"):
        assert metrics[name] == pytest.approx(100)
    assert metrics["all_negative_accuracy"] == pytest.approx(100 / 3)


# ---- Labels that few pictures have ---------------------------------------------------------------


def test_a_threshold_is_drawn_to_the_common_one_by_hand():
    # Both labels have mean 2.5 and deviation 1.118, the second ten times that. The common threshold
    # is the standardised score of the 3s: with both 4s and 3s, F1 is 2 * 3 / (4 + 3).
    scores = np.array([[4.0], [3.0], [2.0], [1.0]]) * [1, 10]
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 0]])
    assert tune_thresholds(scores, labels) == pytest.approx([3.0, 40.0])

    # Two positives: 2 / 3 of its own, which is the common one; one positive: half of either.
    assert tune_shrunk_thresholds(scores, labels) == pytest.approx([3.0, 35.0])


def test_a_label_without_positives_gets_the_common_threshold():
    # The second label has ten times the first one's scores, the third the same one everywhere.
    scores = np.array([[4.0, 40, 9], [3, 30, 9], [2, 20, 9], [1, 10, 9]])
    labels = np.array([[1, 0, 0], [1, 0, -1], [0, 0, 0], [0, 0, 0]])
    assert tune_shrunk_thresholds(scores, labels)[:2] == pytest.approx([3.0, 30.0])

    # Where no label has any, there is no common one: nothing is predicted.
    without_positives = np.zeros_like(labels)
    assert (tune_shrunk_thresholds(scores, without_positives) == np.inf).all()


def test_it_beats_a_half_and_tuning_by_label_where_labels_are_rare():
    """Scikit-learn's digits: ten frequent labels, and a rare one for each pair of neighbours."""
    digits = load_digits()
    random = np.random.default_rng(0)
    shown = digits.target[:, None] == np.arange(10)
    rare = shown & (random.random(shown.shape) < 0.15)
    labels = np.concatenate([shown, rare], axis=1).astype(int)

    order = random.permutation(len(labels))
    train, val, test = order[:700], order[700:850], order[850:]
    [(weight, bias)] = ridge_layers(digits.data[train], labels[train], [0.1])
    scores = digits.data @ weight.T + bias

    def macro_f1(thresholds) -> float:
        return thresholded_metrics(scores[test], labels[test], thresholds)["macro_F1"]

    shrunk = macro_f1(tune_shrunk_thresholds(scores[val], labels[val]))
    by_label = macro_f1(tune_thresholds(scores[val], labels[val]))
    assert shrunk > by_label + 0.5
    assert shrunk > macro_f1(0.0) + 0.5
