"""The metrics of a measurement.

Thresholds come from validation, under both rules, and probabilities from the loss's scale.
"""

import numpy as np
import pytest
from conftest import PICTURES, run_settings
from sklearn.metrics import f1_score

from mlrepro.evaluation.measure import Truth, measure
from mlrepro.metrics.thresholds import tune_thresholds, tune_thresholds_released
from mlrepro.settings.run import Run

SPLITS = {"train": slice(0, 20), "val": slice(20, 50), "test": slice(50, 80)}
AAM = {"loss": {"name": "aam", "scale": 17}, "head_options": {"angular": True}}
BCE = {"loss": {"name": "bce"}}


@pytest.mark.parametrize(("changes", "scale"), [(AAM, 17), (BCE, 1)])
def test_thresholds_of_validation_and_probabilities(changes, scale):
    random = np.random.default_rng(0)
    labels = (random.random((80, 5)) < 0.3).astype(np.int8)
    logits = (0.2 * labels + random.normal(0, 0.3, labels.shape)).astype(np.float32)
    labels_of = {split: labels[rows] for split, rows in SPLITS.items()}
    logits_of = {split: logits[SPLITS[split]] for split in ("val", "test")}

    truth = Truth(list("abcde"), labels_of["train"], observed=labels_of["train"], scored=labels_of)
    run = Run.model_validate(run_settings(PICTURES) | changes)
    measured = measure(run, truth, logits_of, epoch=3)

    scores = logits_of["test"]
    val = (logits_of["val"], labels_of["val"])
    decisions = {
        "": scores >= 0,
        "tuned_": scores >= tune_thresholds(*val),
        "tuned_released_": scores > tune_thresholds_released(*val),
    }
    for prefix, predicted in decisions.items():
        for key, average in (("OF1", "micro"), ("sample_F1", "samples")):
            f1 = f1_score(labels_of["test"], predicted, average=average, zero_division=0)
            assert measured.metrics[prefix + key] == pytest.approx(100 * f1, abs=1e-9)

    # The three are not the same by chance.
    assert len({measured.metrics[f"{prefix}sample_F1"] for prefix in decisions}) == 3

    probabilities = 1 / (1 + np.exp(-scale * scores.astype(float)))
    expected = probabilities.sum(1).mean()
    assert measured.predicted_positives == pytest.approx(expected, rel=1e-6)
