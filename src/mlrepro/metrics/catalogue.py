"""Every metric of a record: its key, the heading it is shown under, and the names papers give it.

This is data alone, without numpy: the evaluation takes the keys from here, the demo's pages the
tables, and the studies' pages the printed names. To add a metric: a module in this folder, a line
below that names its function, a test; nothing else lists metrics.

Keys are those of `Measurement.metrics`, whose values are in percent. A prefix says how decisions
are made: none is probability 0.5, `top3_` the three best classes of a picture, `tuned_` thresholds
of each class from validation, `tuned_released_` what AAM's code makes of them, `tuned_global_` one
threshold from validation, `exported_` those of each class drawn towards one, which models of own
data are exported with. The suffix `_at_<p>` is probability p, `_annotated` the test pictures
that have a label; the prefix `train_` is for the training pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PACKAGE = "mlrepro.metrics"

EXPORTED = "exported_"

# How much of a printed unit one percent is.
PERCENT = 1.0
FRACTION = 0.01


@dataclass(frozen=True)
class Printed:
    """A name that papers print a metric by.

    unit: how much of the printed unit one percent is, PERCENT or FRACTION (a loss, which has no
    unit, counts as PERCENT).
    convention: the name means this metric only where a reported row states this convention.
    """

    name: str
    unit: float = PERCENT
    convention: str | None = None


@dataclass(frozen=True)
class Metric:
    """A metric of a record.

    key: in the record. header: of its column in a table. printed: the names papers give it, if any.
    function: `module:name` in this package, of (scores (N, K), labels (N, K)), which returns
    percent; see `mlrepro.metrics` for both. None: one of a family, below, whose members share their
    counting.
    """

    key: str
    header: str
    printed: tuple[Printed, ...] = ()
    function: str | None = None


@dataclass(frozen=True)
class MetricTable:
    """The metrics that a page shows side by side.

    captions_only: shown for runs with captions alone.
    """

    heading: str
    metrics: tuple[Metric, ...]
    captions_only: bool = False

    @property
    def columns(self) -> dict[str, str]:
        """Header -> key."""
        return {metric.header: metric.key for metric in self.metrics}


# ---- Families of keys, which the evaluation computes under several rules of decision -----------

OVERALL_AND_PER_CLASS = ("OP", "OR", "OF1", "CP", "CR", "CF1")
SAMPLE_MEANS = ("sample_precision", "sample_recall", "sample_F1")  # AAM's tables: CP, CR, CF1
F1_AVERAGES = ("micro_F1", "macro_F1", "sample_F1")
TUNED = tuple(dict.fromkeys(OVERALL_AND_PER_CLASS + SAMPLE_MEANS + F1_AVERAGES))

# The fixed probabilities that the captions + images study compares (its Table 3).
PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5)

# Key -> kind of average precision (mlrepro.metrics.average_precision).
MEAN_AVERAGE_PRECISIONS = {
    "mAP": "exact",
    "mAP_interpolated": "interpolated",
    "mAP_11point": "11-point",
}


# ---- Average precisions, for which the two selections of weights are compared ------------------

AVERAGE_PRECISIONS = MetricTable(
    "Average precision, by kind",
    (
        Metric("mAP", "exact", (Printed("mAP"),)),
        Metric(
            "mAP_interpolated",
            "interpolated",
            (Printed("mAP", convention="interpolated"),),
        ),
        Metric("mAP_11point", "11-point", (Printed("mAP", convention="11-point"),)),
        Metric("mAP_nonempty", "exact, classes with test positives"),
    ),
)


# ---- Decisions ---------------------------------------------------------------------------------


def _fractions(*names: str) -> tuple[Printed, ...]:
    return tuple(Printed(name, FRACTION) for name in names)


def _one_threshold_table(average: str) -> MetricTable:
    """One threshold for all classes, as in the captions + images study."""
    metrics = [Metric(f"tuned_global_{average}_F1", "tuned")]

    for probability in PROBABILITIES:
        printed = _fractions(f"f1@{probability}") if average == "micro" else ()
        if (average, probability) == ("micro", 0.4):
            printed += (Printed("f1", FRACTION, "threshold 0.4"),)
        metrics.append(Metric(f"{average}_F1_at_{probability}", str(probability), printed))

    return MetricTable(
        f"{average} F1 by one threshold for all classes, tuned on validation or a probability",
        tuple(metrics),
        captions_only=True,
    )


AT_HALF = MetricTable(
    "Labels above threshold 0.5",
    (
        Metric("OP", "OP", (Printed("OP"), Printed("micro_precision", FRACTION))),
        Metric("OR", "OR", (Printed("OR"), Printed("micro_recall", FRACTION))),
        Metric("OF1", "OF1", (Printed("OF1"),)),
        Metric("CP", "CP", (Printed("CP"), Printed("macro_precision", FRACTION))),
        Metric("CR", "CR", (Printed("CR"), Printed("macro_recall", FRACTION))),
        Metric("CF1", "CF1", (Printed("CF1"),)),
    ),
)
TOP_3 = MetricTable(
    "The three highest labels of each picture",
    tuple(Metric(f"top3_{key}", key, (Printed(f"top3_{key}"),)) for key in OVERALL_AND_PER_CLASS),
)
BY_CLASS = MetricTable(
    "Thresholds by class, tuned on validation",
    (
        Metric("tuned_OP", "OP"),
        Metric("tuned_OR", "OR"),
        Metric("tuned_OF1", "OF1", (Printed("OF1_adapt"),)),
        Metric("tuned_CP", "CP"),
        Metric("tuned_CR", "CR"),
        Metric("tuned_CF1", "CF1", (Printed("CF1_adapt"),)),
    ),
)
F1_KINDS = MetricTable(
    "F1 by kind of average, at threshold 0.5",
    (
        Metric("micro_F1", "micro F1", _fractions("f1", "micro_f1")),
        Metric("macro_F1", "macro F1", _fractions("macro_f1")),
        Metric(
            "sample_F1",
            "sample F1",
            (Printed("samples_f1", FRACTION), Printed("CF1", convention="per-sample")),
        ),
        Metric("sample_precision", "sample precision", _fractions("samples_precision")),
        Metric("sample_recall", "sample recall", _fractions("samples_recall")),
        Metric("sample_IoU", "IoU", _fractions("samples_iou")),
    ),
)
WHOLE_SETS = MetricTable(
    "Agreement of whole label sets, at threshold 0.5",
    (
        Metric("exact_match", "exact match"),
        Metric("label_accuracy", "label accuracy", _fractions("accuracy")),
        Metric("all_negative_accuracy", "label accuracy, all negative"),
    ),
)

# Metrics with a function of their own, of the scores or of decisions at threshold 0.5.
FURTHER: tuple[Metric, ...] = (
    # Metric("key", "heading", (Printed("a paper's name"),), function="module:name"),
)

# In the order of a page.
DECISION_TABLES: tuple[MetricTable, ...] = (
    AT_HALF,
    TOP_3,
    BY_CLASS,
    _one_threshold_table("micro"),
    _one_threshold_table("macro"),
    _one_threshold_table("sample"),
    F1_KINDS,
    WHOLE_SETS,
)
if FURTHER:
    DECISION_TABLES += (MetricTable("Further metrics", FURTHER),)

# What papers print and no table of ours shows.
WITHOUT_TABLE = (
    Metric(
        "tuned_sample_F1",
        "sample F1, tuned",
        (Printed("CF1_adapt", convention="per-sample"),),
    ),
    Metric("val_loss", "validation loss", (Printed("loss"),)),
    Metric("train_loss", "training loss", (Printed("train_loss"),)),
)


# ---- Printed names -----------------------------------------------------------------------------

# A row's status is that of the first of these that it prints.
JUDGED = ("mAP", "f1", "micro_f1", "samples_iou", "OF1", "accuracy")


def all_metrics() -> Iterator[Metric]:
    for metric_table in (AVERAGE_PRECISIONS, *DECISION_TABLES):
        yield from metric_table.metrics
    yield from WITHOUT_TABLE


def metric_functions() -> dict[str, str]:
    """Key -> `module:name` with the module's full name, of metrics with their own function."""
    return {
        metric.key: f"{PACKAGE}.{metric.function}" for metric in all_metrics() if metric.function
    }


def _printed_names() -> dict[tuple[str, str | None], tuple[str, float]]:
    """(printed name, convention or none) -> (key, unit)."""
    names = {}
    for metric in all_metrics():
        for printed in metric.printed:
            names[printed.name, printed.convention] = metric.key, printed.unit

            # Studies that print fractions also print them of the training pictures.
            if printed.unit == FRACTION and printed.convention is None:
                names[f"train_{printed.name}", None] = f"train_{metric.key}", printed.unit

    return names


_PRINTED_NAMES = _printed_names()


def is_recorded(printed: str) -> bool:
    """Whether a record holds the metric that papers print by this name."""
    return (printed, None) in _PRINTED_NAMES


def recorded_as(printed: str, convention: str | None = None) -> tuple[str, float]:
    """(key, unit) of a printed metric: see `Printed`. A convention may change nothing.

    Raises KeyError where no record holds it.
    """
    plain = _PRINTED_NAMES[printed, None]
    return _PRINTED_NAMES.get((printed, convention), plain)
