"""The metrics of a measurement.

Thresholds come from validation, under both rules, and probabilities from the loss's scale.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mlrepro.evaluation import measure
from mlrepro.metrics.thresholds import tune_thresholds, tune_thresholds_released
from mlrepro.settings.losses import Aam, Plain


@pytest.mark.parametrize(
    ("loss", "scale"), [(Aam(name="aam", scale=17), 17), (Plain(name="bce"), 1)]
)
def test_thresholds_of_validation_and_probabilities(loss, scale):
    random = np.random.default_rng(0)
    labels = (random.random((80, 5)) < 0.3).astype(np.int8)
    logits = (0.2 * labels + random.normal(0, 0.3, labels.shape)).astype(np.float32)
    rows = {"train": np.arange(20), "val": np.arange(20, 50), "test": np.arange(50, 80)}

    measured = measure(
        SimpleNamespace(loss=loss, empty_classes="zero"),
        SimpleNamespace(classes=list("abcde"), rows=rows.__getitem__),
        labels,
        rows,
        labels[rows["train"]],
        3,
        {split: logits[rows[split]] for split in ("val", "test")},
    )

    val = logits[rows["val"]], labels[rows["val"]]
    scores = logits[rows["test"]]
    test_labels = labels[rows["test"]]
    predictions = {
        "": scores >= 0,
        "tuned_": scores >= tune_thresholds(*val),
        "tuned_released_": scores > tune_thresholds_released(*val),
    }
    for prefix, predicted in predictions.items():
        for key, average in (("OF1", "micro"), ("sample_F1", "samples")):
            expected = f1_score(test_labels, predicted, average=average, zero_division=0)
            assert measured.metrics[prefix + key] == pytest.approx(100 * expected, abs=1e-9)

    # The three rules differ here, or the comparison would say nothing.
    assert len({measured.metrics[f"{prefix}sample_F1"] for prefix in predictions}) == 3

    probabilities = 1 / (1 + np.exp(-scale * scores.astype(float)))
    expected_positives = probabilities.sum(1).mean()
    assert measured.predicted_positives == pytest.approx(expected_positives, rel=1e-6)
