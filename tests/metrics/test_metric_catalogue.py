"""The catalogue of metrics against what is computed, and its look-up of printed names."""

import sys
import types

import numpy as np
import pytest

from mlrepro import code
from mlrepro.evaluation.measure import metrics_with_a_function
from mlrepro.metrics import catalogue
from mlrepro.metrics.average_precision import KINDS
from mlrepro.metrics.thresholded import thresholded_metrics, top_k_metrics

SCORES = np.linspace(-1, 1, 12).reshape(3, 4)
LABELS = np.eye(3, 4, dtype=np.int8)


def test_every_family_of_keys_is_computed():
    at_half = thresholded_metrics(SCORES, LABELS, 0.0)
    assert set(catalogue.TUNED) <= set(at_half)
    assert set(catalogue.OVERALL_AND_PER_CLASS) == set(top_k_metrics(SCORES, LABELS, 2))

    unprefixed_tables = (catalogue.AT_HALF, catalogue.F1_KINDS, catalogue.WHOLE_SETS)
    shown = [key for table in unprefixed_tables for key in table.columns.values()]
    assert sorted(shown) == sorted(at_half)

    assert set(catalogue.MEAN_AVERAGE_PRECISIONS.values()) == set(KINDS)


def test_a_metric_with_a_function_is_measured_and_its_module_counts_as_code(monkeypatch):
    toy = catalogue.Metric("toy", "toy", function="toy:toy")
    monkeypatch.setattr(catalogue, "FURTHER", ())
    monkeypatch.setattr(catalogue, "WITHOUT_TABLE", (toy,))
    assert catalogue.metric_functions() == {"toy": "mlrepro.metrics.toy:toy"}

    module = types.ModuleType("mlrepro.metrics.toy")
    module.toy = lambda scores, labels: 100.0 * float((scores.argmax(1) == labels.argmax(1)).mean())
    monkeypatch.setitem(sys.modules, "mlrepro.metrics.toy", module)
    assert metrics_with_a_function(SCORES, LABELS) == {"toy": 0.0}

    roots = []
    monkeypatch.setattr(code, "module_digests", roots.extend)
    code.evaluation_code()
    assert roots == [code.EVALUATION_ROOT, "mlrepro.metrics.toy"]


def test_no_key_stands_in_two_tables():
    keys = [metric.key for metric in catalogue.all_metrics()]
    assert len(keys) == len(set(keys))


def test_no_printed_name_means_two_metrics():
    printed = [
        (printed.name, printed.convention)
        for metric in catalogue.all_metrics()
        for printed in metric.printed
    ]
    assert len(printed) == len(set(printed))


@pytest.mark.parametrize(
    ("printed", "convention", "key", "unit"),
    [
        ("mAP", None, "mAP", 1.0),
        ("mAP", "11-point", "mAP_11point", 1.0),
        ("mAP", "a convention that changes nothing", "mAP", 1.0),
        ("CF1", None, "CF1", 1.0),
        ("CF1", "per-sample", "sample_F1", 1.0),
        ("CF1_adapt", "per-sample", "tuned_sample_F1", 1.0),
        ("f1", None, "micro_F1", 0.01),
        ("f1", "threshold 0.4", "micro_F1_at_0.4", 0.01),
        ("train_f1@0.2", None, "train_micro_F1_at_0.2", 0.01),
        ("train_loss", None, "train_loss", 1.0),
        ("loss", None, "val_loss", 1.0),
    ],
)
def test_printed_names(printed, convention, key, unit):
    assert catalogue.recorded_as(printed, convention) == (key, unit)
    assert catalogue.is_recorded(printed)


@pytest.mark.parametrize("printed", ["GFLOPs", "train_mAP"])
def test_what_no_record_holds(printed):
    assert not catalogue.is_recorded(printed)
    with pytest.raises(KeyError):
        catalogue.recorded_as(printed)
