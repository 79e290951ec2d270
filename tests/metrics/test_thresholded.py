"""Metrics of decisions against scikit-learn and the code of AAM, ML-GCN, CSRA and Cole et al."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from mlrepro.metrics.arrays import ratio
from mlrepro.metrics.thresholded import best_classes, thresholded_metrics, top_k_metrics
from mlrepro.metrics.thresholds import tune_thresholds_released

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "metrics"

# In the order of the vectors of ML-GCN and CSRA.
SIX = ["OP", "OR", "OF1", "CP", "CR", "CF1"]

# What deep-object-reid prints as CP, CR, CF1 are means over pictures.
OF_DEEP_OBJECT_REID = ["sample_precision", "sample_recall", "sample_F1", "OP", "OR", "OF1"]

# Metric -> scikit-learn's function and its average.
OF_SCIKIT_LEARN = {
    "OP": (precision_score, "micro"),
    "OR": (recall_score, "micro"),
    "OF1": (f1_score, "micro"),
    "micro_F1": (f1_score, "micro"),
    "CP": (precision_score, "macro"),
    "CR": (recall_score, "macro"),
    "macro_F1": (f1_score, "macro"),
    "sample_precision": (precision_score, "samples"),
    "sample_recall": (recall_score, "samples"),
    "sample_F1": (f1_score, "samples"),
    "sample_IoU": (jaccard_score, "samples"),
}


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


SCORES = arrays(np.float64, (12, 4), elements=st.integers(-2, 2))
LABELS = arrays(np.int8, (12, 4), elements=st.integers(0, 1))


@given(SCORES, LABELS)
@settings(max_examples=50, deadline=None)
def test_means_are_scikit_learns(scores, labels):
    predicted = (scores >= 0).astype(int)
    metrics = thresholded_metrics(scores, labels, 0.0)
    for name, (function, average) in OF_SCIKIT_LEARN.items():
        expected = function(labels, predicted, average=average, zero_division=0)
        assert metrics[name] == pytest.approx(100 * expected, abs=1e-9), name

    assert metrics["exact_match"] == pytest.approx(100 * accuracy_score(labels, predicted))
    assert metrics["label_accuracy"] == pytest.approx(100 * (labels == predicted).mean())
    assert metrics["all_negative_accuracy"] == pytest.approx(100 * (labels == 0).mean())


def test_cf1_is_not_macro_f1_in_the_golden_case():
    case = golden("aam")
    logits = case["logits"]
    targets = case["targets"]
    metrics = thresholded_metrics(logits, targets, 0.0)

    per_class = [metrics["CP"], metrics["CR"], metrics["CF1"]]
    assert per_class == pytest.approx(100 * case["perclass_CP_CR_CF1"])
    assert metrics["macro_F1"] == pytest.approx(100 * case["perclass_meanF1"])

    theirs = 100 * case["dor_map_pc_rc_fc_po_ro_fo_thr0.5"][1:]
    assert [metrics[name] for name in OF_DEEP_OBJECT_REID] == pytest.approx(theirs)
    assert metrics["exact_match"] == pytest.approx(100 * case["dor_exact_match_acc"], rel=1e-6)

    of_probabilities = thresholded_metrics(sigmoid(logits), targets, 0.5)
    assert metrics == pytest.approx(of_probabilities)


def test_a_strict_rule_with_the_released_thresholds():
    """deep-object-reid's rule drops the picture that a threshold was read from."""
    case = golden("aam")
    scores = sigmoid(case["logits"])
    targets = case["targets"]
    thresholds = tune_thresholds_released(scores, targets)
    metrics = thresholded_metrics(scores, targets, thresholds, strict=True)
    theirs = 100 * case["dor_with_tuned"][1:]
    assert [metrics[name] for name in OF_DEEP_OBJECT_REID] == pytest.approx(theirs)


def assert_six(metrics, expected):
    assert [metrics[name] / 100 for name in SIX] == pytest.approx(expected)


def test_agrees_with_ml_gcn_and_csra():
    meter = golden("mlgcn")
    csra = golden("csra")

    logits = meter["logits"]
    targets = meter["targets"]
    assert_six(thresholded_metrics(logits, targets, 0.0), meter["mlgcn_bin_diff1_overall"])
    assert_six(top_k_metrics(logits, targets, 3, threshold=0.0), meter["mlgcn_bin_diff1_top3"])

    p = sigmoid(logits)
    assert_six(thresholded_metrics(p, targets, 0.5), csra["csra_coco_metric"])
    assert_six(top_k_metrics(p, targets, 3, threshold=0.5), csra["csra_coco_top3"])


def test_agrees_with_ml_gcn_and_csra_on_voc():
    """Where both differ: CSRA ignores difficult objects, ML-GCN's option counts them negative."""
    meter = golden("mlgcn")
    csra = golden("csra")
    logits = csra["logits"]

    # Theirs: 1 positive, 0 difficult, -1 negative.
    ignored = np.choose(csra["targets_voc"] + 1, [0, -1, 1])
    assert_six(thresholded_metrics(logits, ignored, 0.0), csra["csra_voc_metric"])
    assert_six(top_k_metrics(logits, ignored, 3, threshold=0.0), csra["csra_voc_top3"])

    negative = (csra["targets_voc"] == 1).astype(int)
    assert_six(thresholded_metrics(logits, negative, 0.0), meter["mlgcn_voc_diff1_overall"])
    assert_six(top_k_metrics(logits, negative, 3, 0.0), meter["mlgcn_voc_diff1_top3"])


def test_top_k_without_a_threshold_always_predicts_k():
    scores = np.array([[-1.0, -2, -3, -4], [4, 3, 2, 1]])
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 1]])
    metrics = top_k_metrics(scores, labels, 2)

    # The first two classes are predicted for both pictures: 3 hits of 4, and of 4 positives.
    assert metrics["OP"] == 75.0
    assert metrics["OR"] == 75.0

    # By class: 2 of 2, 1 of 2, and two that are never predicted.
    precisions = [1, 1 / 2, 0, 0]
    recalls = [1, 1, 0, 0]
    assert metrics["CP"] == pytest.approx(100 * sum(precisions) / 4)
    assert metrics["CR"] == pytest.approx(100 * sum(recalls) / 4)

    # The first picture's scores are below the threshold.
    assert top_k_metrics(scores, labels, 2, threshold=0.0)["OP"] == 100.0


def precision_recall_at_k(scores, labels, k):
    """What Cole et al. 2021 compute of the k best classes: means over pictures, in percent.

    prec_at_k and rec_at_k are precision (hits / k) and recall, top_k the share of pictures with a
    hit; k's value stands in the keys. Of tied classes the earlier one is taken; in their code that
    depends on numpy's build and the processor.
    """
    positive = labels == 1
    hits = (best_classes(scores, k) & positive).sum(axis=1)
    return {
        f"prec_at_{k}": 100 * float(np.mean(hits / k)),
        f"rec_at_{k}": 100 * float(np.mean(ratio(hits, positive.sum(axis=1)))),
        f"top_{k}": 100 * float(np.mean(hits > 0)),
    }


# Without the case of ties: their order of these is numpy's unstable one.
@pytest.mark.parametrize("case", ["plain40x6", "class2_no_positive"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_best_classes_agree_with_cole(case, k):
    cole = golden("metrics_cole")
    metrics = precision_recall_at_k(cole[f"{case}/scores"], cole[f"{case}/labels"], k)
    assert metrics == pytest.approx({name: 100 * cole[f"{case}/{name}"] for name in metrics})


def test_best_classes_by_hand_with_ties():
    scores = np.array([[1.0, 2, 2, 2], [3, 2, 1, 0], [0, 0, 0, 0]])
    labels = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    metrics = precision_recall_at_k(scores, labels, 2)
    assert metrics == pytest.approx(
        {"prec_at_2": 100 * (1 / 2) / 3, "rec_at_2": 100 * (1 / 3) / 3, "top_2": 100 / 3}
    )


def test_wrong_thresholds_and_k_are_refused():
    scores = np.zeros((2, 3))
    labels = np.zeros((2, 3), dtype=int)
    for threshold in (np.zeros(2), np.nan, [0.0, np.nan, 0.0]):
        with pytest.raises(ValueError, match="threshold must be a number or"):
            thresholded_metrics(scores, labels, threshold)
    with pytest.raises(ValueError, match="k is 4; it may be 1 to 3"):
        top_k_metrics(scores, labels, 4)
