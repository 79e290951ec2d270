"""Metrics of decisions: at a threshold, or for the k best classes of each picture. In percent.

A quotient 0 / 0 counts 0 and stays in its mean, as in scikit-learn with zero_division=0: the
precision of a class that is never predicted (also 0 in ML-GCN's meter), the recall of a class
without positives (NaN there), and every metric of a picture without positives (also 0 in
deep-object-reid).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlrepro.metrics.arrays import check, in_parallel, ratio

# Entries that are decided at a time, so that what is made of them stays in a core's cache.
BLOCK = 1 << 18


class Counts(NamedTuple):
    """Numbers of true positives, predictions and positives; of each class or of each picture."""

    hits: np.ndarray
    retrieved: np.ndarray
    positives: np.ndarray


def thresholded_metrics(
    scores: np.ndarray, labels: np.ndarray, threshold: float | np.ndarray, strict: bool = False
) -> dict[str, float]:
    """Metrics of the rule score >= threshold, or, if `strict`, of score > threshold.

    The strict rule is deep-object-reid's. scores, labels (N, C): see `mlrepro.metrics`. threshold:
    one, or (C,) of them, on the scale of the scores (0 for logits is 0.5 for probabilities).

    OP, OR, OF1             precision, recall and F1 of all decisions together; micro_F1 is OF1's
                            other name
    CP, CR, CF1             means over classes of precision and recall, and CF1 = 2 CP CR /
                            (CP + CR), as in ML-GCN, ASL and most papers; macro_F1 is the mean of
                            the classes' F1, which is less
    sample_precision, sample_recall, sample_F1, sample_IoU
                            means over pictures; deep-object-reid (AAM) prints the first three as
                            CP, CR, CF1
    exact_match, label_accuracy
                            share of pictures with every decision right, share of right decisions
    all_negative_accuracy   the label_accuracy of predicting nothing, which label_accuracy should be
                            read against
    """
    scores, labels = check(scores, labels)
    classes = labels.shape[1]
    threshold = np.asarray(threshold)
    if threshold.shape not in ((), (classes,)) or np.isnan(threshold).any():
        raise ValueError(f"threshold must be a number or ({classes},) numbers, not {threshold}")

    compare = np.greater if strict else np.greater_equal
    of_classes, of_pictures = _count(lambda block: compare(block, threshold), scores, labels)
    judged = np.count_nonzero(labels != -1)
    return _overall_and_per_class(of_classes) | _further_metrics(of_classes, of_pictures, judged)


def top_k_metrics(
    scores: np.ndarray, labels: np.ndarray, k: int = 3, threshold: float | None = None
) -> dict[str, float]:
    """OP, OR, OF1, CP, CR, CF1 when the k best classes of each picture are predicted.

    Source: Wang et al. 2016, CNN-RNN. threshold: they must also score at least this much, as the
    code of ML-GCN and CSRA demands (its `top-3` columns are so defined; precision is higher). An
    ignored class takes its place among the k but is not counted. Of tied classes the earlier one is
    taken.
    """
    scores, labels = check(scores, labels)
    least = -np.inf if threshold is None else threshold

    def decide(block: np.ndarray) -> np.ndarray:
        return best_classes(block, k) & (block >= least)

    of_classes, _ = _count(decide, scores, labels)
    return _overall_and_per_class(of_classes)


def best_classes(scores: np.ndarray, k: int) -> np.ndarray:
    """Which classes of each picture are its k best, bool (N, C); of tied ones the earlier.

    Raises ValueError for a k that cannot be.
    """
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is {k}; it may be 1 to {scores.shape[1]}, the number of classes")

    # A partition costs less than a sort.
    kth_best = np.partition(scores, -k, axis=1)[:, -k, None]
    best = scores >= kth_best

    # Only pictures whose k-th best class is tied need a sort.
    tied = np.flatnonzero(best.sum(axis=1) > k)
    if len(tied):
        chosen = np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
        best[tied] = False
        best[tied[:, None], chosen] = True
    return best


def _count(
    decide: Callable[[np.ndarray], np.ndarray], scores: np.ndarray, labels: np.ndarray
) -> tuple[Counts, Counts]:
    """Counts of each class (C,) and of each picture (N,), without ignored entries.

    decide: scores of some pictures to whether each class is predicted.
    """
    pictures, classes = labels.shape

    def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
        predicted = decide(scores[block])
        positive = labels[block] == 1
        judged = labels[block] != -1

        # In the order of Counts. Numbers below 2^24 are exact in float32, and a matrix product adds
        # several times faster than a sum of booleans.
        parts = np.stack([predicted & positive, predicted & judged, positive]).astype(np.float32)
        _, rows, columns = parts.shape
        by_class = np.ones(rows, np.float32) @ parts
        by_picture = parts @ np.ones(columns, np.float32)
        return by_class, by_picture

    step = max(1, BLOCK // max(1, classes))
    blocks = in_parallel(of_block, pictures, step, labels.size)
    class_parts, picture_parts = zip(*blocks, strict=True)
    of_classes = np.sum(class_parts, axis=0, dtype=np.int64)
    of_pictures = np.concatenate(picture_parts, axis=1).astype(np.int64)
    return Counts(*of_classes), Counts(*of_pictures)


def _overall_and_per_class(of_classes: Counts) -> dict[str, float]:
    # Overall: of all decisions together. Per class: the mean of the classes' quotients.
    hits, retrieved, positives = of_classes
    overall_precision = 100 * float(ratio(hits.sum(), retrieved.sum()))
    overall_recall = 100 * float(ratio(hits.sum(), positives.sum()))
    class_precision = 100 * float(ratio(hits, retrieved).mean())
    class_recall = 100 * float(ratio(hits, positives).mean())
    return {
        "OP": overall_precision,
        "OR": overall_recall,
        "OF1": _harmonic_mean(overall_precision, overall_recall),
        "CP": class_precision,
        "CR": class_recall,
        "CF1": _harmonic_mean(class_precision, class_recall),
    }


def _harmonic_mean(precision: float, recall: float) -> float:
    return float(ratio(2 * precision * recall, precision + recall))


def _further_metrics(of_classes: Counts, of_pictures: Counts, judged: int) -> dict[str, float]:
    """judged: entries that are not ignored."""
    hits, retrieved, positives = of_pictures
    either = retrieved + positives
    wrong = either - 2 * hits

    # What a metric is the mean of.
    values = {
        "micro_F1": ratio(2 * hits.sum(), either.sum()),
        "macro_F1": ratio(2 * of_classes.hits, of_classes.retrieved + of_classes.positives),
        "sample_precision": ratio(hits, retrieved),
        "sample_recall": ratio(hits, positives),
        "sample_F1": ratio(2 * hits, either),
        "sample_IoU": ratio(hits, either - hits),
        "exact_match": wrong == 0,
        "label_accuracy": np.float64(judged - wrong.sum()) / judged,
        "all_negative_accuracy": np.float64(judged - positives.sum()) / judged,
    }
    return {name: 100 * float(np.mean(value)) for name, value in values.items()}
