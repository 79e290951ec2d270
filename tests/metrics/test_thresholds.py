from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from mlrepro.metrics.thresholded import thresholded_metrics
from mlrepro.metrics.thresholds import tune_global_threshold, tune_thresholds

AAM = Path(__file__).resolve().parents[1] / "golden" / "metrics" / "aam.npz"


def test_agrees_with_the_nan_safe_golden_thresholds():
    with np.load(AAM) as golden:
        scores, labels = 1 / (1 + np.exp(-golden["logits"])), golden["targets"]
        tuned, theirs = tune_thresholds(scores, labels), golden["dor_tuned_thresholds"]
        np.testing.assert_allclose(tuned, golden["own_tuned_thresholds_nan_safe"], rtol=1e-12)
        # Where their search met no 0 / 0 it found the same.
        assert (np.isclose(tuned, theirs) == ~golden["dor_tuning_hit_nan"]).all()
    metrics = {name: thresholded_metrics(scores, labels, t) for name, t in {"tuned": tuned, "half": 0.5}.items()}
    assert metrics["tuned"]["macro_F1"] > metrics["half"]["macro_F1"]


@given(arrays(np.float32, (10, 3), elements=st.integers(-3, 3)), arrays(np.int8, (10, 3), elements=st.integers(0, 1)))
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


def test_ignored_pictures_do_not_move_a_threshold():
    scores, labels = np.array([[4.0], [3], [2], [1]]), np.array([[1], [-1], [1], [0]])
    assert tune_thresholds(scores, labels) == [2.0]
    assert tune_global_threshold(scores, labels) == 2.0
    metrics = thresholded_metrics(scores, labels, 2.0)
    assert metrics["OF1"] == metrics["exact_match"] == metrics["label_accuracy"] == pytest.approx(100)
    assert metrics["all_negative_accuracy"] == pytest.approx(100 / 3)
