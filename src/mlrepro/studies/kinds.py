"""Kinds of printed numbers, and how near to them ours must be to be the same."""

from mlrepro.judging import MINIMUM_TOLERANCE
from mlrepro.metrics.catalogue import is_recorded
from mlrepro.studies.counts import PRINTED_COUNTS

# GFLOPs within which counted and printed ones are the same number.
SAME_GFLOPS = 0.01

# Kinds of printed numbers, in the order of the overview.
MAP = "mAP"
F1 = "F1, precision, recall, IoU"
ACCURACY = "accuracy"
LOSS = "loss"
GFLOPS = "GFLOPs"
PARAMETERS = "parameters"
FILE_SIZE = "file size"
COUNT = "counts of data sets"
TIME = "time"
SETTING = "settings and epochs"
OTHER = "other"
KINDS = (MAP, F1, ACCURACY, LOSS, GFLOPS, PARAMETERS, FILE_SIZE, COUNT, TIME, SETTING, OTHER)

KIND_OF_METRIC = {
    "mAP": MAP,
    "mAP_paper": MAP,
    "accuracy": ACCURACY,
    "train_accuracy": ACCURACY,
    "loss": LOSS,
    "train_loss": LOSS,
    "GFLOPs": GFLOPS,
    "params_m": PARAMETERS,
    "model_size_mb": FILE_SIZE,
    "fine_tune_time_s": TIME,
    "test_time_s": TIME,
    "batch_size": SETTING,
    "epochs": SETTING,
    "learning_rate": SETTING,
    "threshold": SETTING,
    "best_epoch": SETTING,
} | dict.fromkeys(PRINTED_COUNTS, COUNT)

# Of this kind, though no record holds them under the name alone.
OTHER_F1 = ("f1", "f1_change", "CF1_adapt", "OF1_adapt")

# Points of a metric in percent below which a difference is none. Accuracies and losses differ by
# less than that between any two methods, and must agree as far as they are printed.
SMALLEST_DIFFERENCE = {MAP: MINIMUM_TOLERANCE, F1: MINIMUM_TOLERANCE, ACCURACY: 0.0, LOSS: 0.0}


def kind_of(metric: str) -> str:
    """Precision, recall and the F1s go by many names, which metrics/catalogue.py knows.

    OTHER for a name that neither it nor this list has.
    """
    if metric in KIND_OF_METRIC:
        return KIND_OF_METRIC[metric]
    if is_recorded(metric) or metric in OTHER_F1:
        return F1
    return OTHER
