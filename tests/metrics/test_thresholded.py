from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from mlrepro.metrics.thresholded import precision_recall_at_k, thresholded_metrics, top_k_metrics
from mlrepro.metrics.thresholds import tune_thresholds_released

SIX = ["OP", "OR", "OF1", "CP", "CR", "CF1"]


def golden(name):
    with np.load(
        Path(__file__).resolve().parents[1] / "golden" / "metrics" / f"{name}.npz"
    ) as arrays:
        return dict(arrays)


def six(metrics):
    return [metrics[name] / 100 for name in SIX]


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@given(
    arrays(np.float64, (12, 4), elements=st.integers(-2, 2)),
    arrays(np.int8, (12, 4), elements=st.integers(0, 1)),
)
@settings(max_examples=50, deadline=None)
def test_means_are_scikit_learns(scores, labels):
    predicted = (scores >= 0).astype(int)
    metrics = thresholded_metrics(scores, labels, 0.0)
    functions = {"P": precision_score, "R": recall_score, "F1": f1_score, "IoU": jaccard_score}
    names = {
        "OP": ("P", "micro"),
        "OR": ("R", "micro"),
        "OF1": ("F1", "micro"),
        "micro_F1": ("F1", "micro"),
        "CP": ("P", "macro"),
        "CR": ("R", "macro"),
        "macro_F1": ("F1", "macro"),
        "sample_precision": ("P", "samples"),
        "sample_recall": ("R", "samples"),
        "sample_F1": ("F1", "samples"),
        "sample_IoU": ("IoU", "samples"),
    }
    for name, (function, average) in names.items():
        expected = functions[function](labels, predicted, average=average, zero_division=0)
        assert metrics[name] == pytest.approx(100 * expected, abs=1e-9), name
    assert metrics["exact_match"] == pytest.approx(100 * accuracy_score(labels, predicted))
    assert metrics["label_accuracy"] == pytest.approx(100 * (labels == predicted).mean())
    assert metrics["all_negative_accuracy"] == pytest.approx(100 * (labels == 0).mean())


def test_cf1_is_not_macro_f1_in_the_golden_case():
    arrays = golden("aam")
    metrics = thresholded_metrics(arrays["logits"], arrays["targets"], 0.0)
    assert [metrics["CP"], metrics["CR"], metrics["CF1"]] == pytest.approx(
        100 * arrays["perclass_CP_CR_CF1"]
    )
    assert metrics["macro_F1"] == pytest.approx(100 * arrays["perclass_meanF1"])
    # What deep-object-reid prints as CP, CR, CF1 are means over pictures.
    theirs = ["sample_precision", "sample_recall", "sample_F1", "OP", "OR", "OF1"]
    assert [metrics[name] for name in theirs] == pytest.approx(
        100 * arrays["dor_map_pc_rc_fc_po_ro_fo_thr0.5"][1:]
    )
    assert metrics["exact_match"] == pytest.approx(100 * arrays["dor_exact_match_acc"], rel=1e-6)
    assert metrics == pytest.approx(
        thresholded_metrics(sigmoid(arrays["logits"]), arrays["targets"], 0.5)
    )


def test_a_strict_rule_with_the_released_thresholds():
    """deep-object-reid's rule drops the picture that a threshold was read from."""
    arrays = golden("aam")
    scores, targets = sigmoid(arrays["logits"]), arrays["targets"]
    metrics = thresholded_metrics(
        scores, targets, tune_thresholds_released(scores, targets), strict=True
    )
    theirs = ["sample_precision", "sample_recall", "sample_F1", "OP", "OR", "OF1"]
    assert [metrics[name] for name in theirs] == pytest.approx(100 * arrays["dor_with_tuned"][1:])


def test_agrees_with_ml_gcn_and_csra():
    meter, csra = golden("mlgcn"), golden("csra")
    logits, targets = meter["logits"], meter["targets"]
    assert six(thresholded_metrics(logits, targets, 0.0)) == pytest.approx(
        meter["mlgcn_bin_diff1_overall"]
    )
    assert six(top_k_metrics(logits, targets, 3, threshold=0.0)) == pytest.approx(
        meter["mlgcn_bin_diff1_top3"]
    )
    assert six(thresholded_metrics(sigmoid(logits), targets, 0.5)) == pytest.approx(
        csra["csra_coco_metric"]
    )
    assert six(top_k_metrics(sigmoid(logits), targets, 3, threshold=0.5)) == pytest.approx(
        csra["csra_coco_top3"]
    )
    difficult_ignored = np.choose(csra["targets_voc"] + 1, [0, -1, 1])
    difficult_negative = (csra["targets_voc"] == 1).astype(int)
    logits = csra["logits"]
    assert six(thresholded_metrics(logits, difficult_ignored, 0.0)) == pytest.approx(
        csra["csra_voc_metric"]
    )
    assert six(top_k_metrics(logits, difficult_ignored, 3, threshold=0.0)) == pytest.approx(
        csra["csra_voc_top3"]
    )
    assert six(thresholded_metrics(logits, difficult_negative, 0.0)) == pytest.approx(
        meter["mlgcn_voc_diff1_overall"]
    )
    assert six(top_k_metrics(logits, difficult_negative, 3, 0.0)) == pytest.approx(
        meter["mlgcn_voc_diff1_top3"]
    )


def test_top_k_without_a_threshold_always_predicts_k():
    scores = np.array([[-1.0, -2, -3, -4], [4, 3, 2, 1]])
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 1]])
    metrics = top_k_metrics(scores, labels, 2)
    assert (metrics["OP"], metrics["OR"]) == (75.0, 75.0)
    assert metrics["CP"] == pytest.approx(100 * (1 + 1 / 2 + 0 + 0) / 4)
    assert metrics["CR"] == pytest.approx(100 * (1 + 1 + 0 + 0) / 4)
    assert top_k_metrics(scores, labels, 2, threshold=0.0)["OP"] == 100.0


@pytest.mark.parametrize(
    "case", ["plain40x6", "class2_no_positive"]
)  # their order of ties is numpy's unstable one
@pytest.mark.parametrize("k", [1, 3, 5])
def test_at_k_agrees_with_cole(case, k):
    arrays = golden("metrics_cole")
    metrics = precision_recall_at_k(arrays[f"{case}/scores"], arrays[f"{case}/labels"], k)
    assert metrics == pytest.approx({name: 100 * arrays[f"{case}/{name}"] for name in metrics})


def test_at_k_by_hand_with_ties():
    scores = np.array([[1.0, 2, 2, 2], [3, 2, 1, 0], [0, 0, 0, 0]])
    labels = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    metrics = precision_recall_at_k(scores, labels, 2)
    assert metrics == pytest.approx(
        {"prec_at_2": 100 * (1 / 2) / 3, "rec_at_2": 100 * (1 / 3) / 3, "top_2": 100 / 3}
    )


def test_wrong_thresholds_and_k_are_refused():
    scores, labels = np.zeros((2, 3)), np.zeros((2, 3), dtype=int)
    for threshold in (np.zeros(2), np.nan, [0.0, np.nan, 0.0]):
        with pytest.raises(ValueError, match="threshold must be a number or"):
            thresholded_metrics(scores, labels, threshold)
    with pytest.raises(ValueError, match="k is 4; it may be 1 to 3"):
        top_k_metrics(scores, labels, 4)
