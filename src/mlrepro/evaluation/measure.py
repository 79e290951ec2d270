"""What the logits of one selection of weights are worth beside the labels, in percent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlrepro.data.graph import cooccurrence
from mlrepro.data.manifest import Manifest
from mlrepro.metrics.arrays import ratio
from mlrepro.metrics.average_precision import (
    average_precisions,
    mean_average_precision,
)
from mlrepro.metrics.bootstrap import standard_error
from mlrepro.metrics.catalogue import (
    EXPORTED,
    F1_AVERAGES,
    MEAN_AVERAGE_PRECISIONS,
    OVERALL_AND_PER_CLASS,
    PROBABILITIES,
    TUNED,
    metric_functions,
)
from mlrepro.metrics.thresholded import thresholded_metrics, top_k_metrics
from mlrepro.metrics.thresholds import (
    tune_global_threshold,
    tune_shrunk_thresholds,
    tune_thresholds,
    tune_thresholds_released,
)
from mlrepro.records import ClassResult, Measurement
from mlrepro.resamples import as_kept, resampled_maps
from mlrepro.settings.run import Run
from mlrepro.training.predict import expected_labels, logit_scale
from mlrepro.training.references import resolve

# Classes of a picture that its top metrics predict.
TOP = 3


@dataclass
class Truth:
    """The labels that logits are measured against: (N, K) int8, 1 positive, 0 negative, -1 ignored.

    train, observed: of the training pictures, all labels and those that the loss sees.
    scored:          by split, of the pictures that are scored: test, and val where there is one
                     that is not the test.
    """

    classes: list[str]
    train: np.ndarray
    observed: np.ndarray
    scored: dict[str, np.ndarray]


def read_truth(manifest: Manifest, observed: np.ndarray, rows: dict[str, np.ndarray]) -> Truth:
    """rows: of the manifest, by split that is scored."""
    scored = {split: manifest.label_matrix(of_split) for split, of_split in rows.items()}
    return Truth(manifest.classes, manifest.label_matrix(manifest.rows("train")), observed, scored)


def measure(run: Run, truth: Truth, logits: dict[str, np.ndarray], epoch: int) -> Measurement:
    """All metrics of one selection on test. logits: by split of `truth.scored`."""
    scores = logits["test"]
    labels = truth.scored["test"]
    aps = average_precisions(scores, labels)

    metrics = average_precision_metrics(aps, run.empty_classes)
    metrics |= thresholded(scores, labels, logit_scale(run))
    if "val" in logits:
        metrics |= tuned_metrics(scores, labels, logits["val"], truth.scored["val"])
    metrics |= annotated_metrics(scores, labels, run.empty_classes)
    metrics |= metrics_with_a_function(scores, labels)
    maps = resampled_maps(scores, labels, run.empty_classes)

    return Measurement(
        epoch=epoch,
        metrics={key: none_if_nan(value) for key, value in metrics.items()},
        mAP_se=none_if_nan(standard_error(maps)),
        predicted_positives=expected_labels(scores * logit_scale(run)),
        per_class=list(class_results(truth, scores, aps["exact"])),
        resamples=as_kept(maps),
    )


def average_precision_metrics(aps: dict[str, np.ndarray], empty: str) -> dict[str, float]:
    """Means of each kind of average precision. empty: what a class without positives counts."""
    metrics = {
        name: mean_average_precision(aps[kind], empty)
        for name, kind in MEAN_AVERAGE_PRECISIONS.items()
    }
    metrics["mAP_nonempty"] = mean_average_precision(aps["exact"], "skip")
    return metrics


def thresholded(scores: np.ndarray, labels: np.ndarray, scale: float) -> dict[str, float]:
    """Metrics of decisions without a tuned threshold; `scale`: see logit_scale.

    No prefix: at logit 0, which is probability 0.5. top3_: the three best classes of each picture.
    _at_p: at probability p (the captions + images study, Table 3).
    """
    metrics = thresholded_metrics(scores, labels, 0.0)

    # Data sets of few classes have no three best ones.
    top = top_k_metrics(scores, labels, min(TOP, labels.shape[1]))
    metrics |= {f"top3_{key}": top[key] for key in OVERALL_AND_PER_CLASS}

    for p in PROBABILITIES:
        threshold = np.log(p / (1 - p)) / scale
        at_p = thresholded_metrics(scores, labels, threshold)
        metrics |= {f"{key}_at_{p}": at_p[key] for key in F1_AVERAGES}
    return metrics


def tuned_metrics(
    scores: np.ndarray, labels: np.ndarray, val_scores: np.ndarray, val_labels: np.ndarray
) -> dict[str, float]:
    """Metrics at thresholds that are tuned on validation.

    tuned_: the right way. tuned_released_: what AAM's code makes of it, whose rule is score >
    threshold. tuned_global_: one threshold for all classes.
    """
    val = (val_scores, val_labels)
    decisions = {
        "tuned": thresholded_metrics(scores, labels, tune_thresholds(*val)),
        "tuned_released": thresholded_metrics(
            scores, labels, tune_thresholds_released(*val), strict=True
        ),
        "tuned_global": thresholded_metrics(scores, labels, tune_global_threshold(*val)),
    }

    metrics = {}
    for name, values in decisions.items():
        metrics |= {f"{name}_{key}": values[key] for key in TUNED}
    return metrics


def exported_metrics(
    scores: np.ndarray, labels: np.ndarray, val_scores: np.ndarray, val_labels: np.ndarray
) -> dict[str, float]:
    """As tuned_metrics, at the thresholds that models of own data are exported with."""
    values = thresholded_metrics(scores, labels, tune_shrunk_thresholds(val_scores, val_labels))
    return {f"{EXPORTED}{key}": none_if_nan(values[key]) for key in OVERALL_AND_PER_CLASS}


def annotated_metrics(scores: np.ndarray, labels: np.ndarray, empty: str) -> dict[str, float]:
    """mAP of the pictures that have a label, where there are others.

    The single-positive course document and Cole et al. 2021 leave the others out, Query2Label does
    not.
    """
    labelled = (labels > 0).any(1)
    if labelled.all():
        return {}

    aps = average_precisions(scores[labelled], labels[labelled])
    return {
        "mAP_annotated": mean_average_precision(aps["exact"], empty),
        "mAP_interpolated_annotated": mean_average_precision(aps["interpolated"], empty),
    }


def metrics_with_a_function(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics that are no member of a family: each as its function in the catalogue computes it."""
    functions = metric_functions()
    return {key: resolve(function)(scores, labels) for key, function in functions.items()}


def class_results(truth: Truth, scores: np.ndarray, aps: np.ndarray) -> Iterator[ClassResult]:
    """Of each class. scores (N, K): logits of test; aps (K,): fractions."""
    labels = truth.scored["test"]
    together, positives = cooccurrence(truth.train)
    negatives = (truth.train == 0).sum(0)

    columns = {
        "train": positives,
        "observed": (truth.observed > 0).sum(0),
        "test": (labels > 0).sum(0),
        "balanced": class_uniform_positives(together, positives, len(truth.train)),
        # That of losses/: a class without positives weighs 1.
        "weight": ratio(negatives, positives) + (positives == 0),
        "confusion": confusion(scores, labels),
    }
    for k, name in enumerate(truth.classes):
        values = {key: column[k].tolist() for key, column in columns.items()}
        yield ClassResult(name=name, AP=none_if_nan(aps[k]), **values)


def class_uniform_positives(
    together: np.ndarray, positives: np.ndarray, pictures: int
) -> np.ndarray:
    """(K,) positives expected of as many class-uniform draws as there are training `pictures`.

    together (K, K): pictures that show both classes, diagonal 0. positives (K,): that show each.
    """
    # A picture of class c is drawn with c for certain, and shows the others as often as they come
    # together.
    shown = together.copy()
    np.fill_diagonal(shown, positives)

    # First a class is drawn, of those that have pictures, and then one of its pictures.
    chance_of_picture = ratio(np.ones(len(positives)), positives)
    drawn_classes = max(1, (positives > 0).sum())
    return pictures * shown @ chance_of_picture / drawn_classes


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, 4): tn, fp, fn, tp of each class at probability 0.5; ignored entries are none of them."""
    predicted = scores >= 0
    absent = labels == 0
    present = labels == 1
    outcomes = [
        ~predicted & absent,
        predicted & absent,
        ~predicted & present,
        predicted & present,
    ]
    return np.stack([outcome.sum(0) for outcome in outcomes], axis=1)


def none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
