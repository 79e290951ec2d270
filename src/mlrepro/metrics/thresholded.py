"""Metrics of decisions: at a threshold, or for the k best classes of each picture. All in percent.

A quotient 0 / 0 counts 0 and stays in its mean, as in scikit-learn with zero_division=0: the precision of a class that
is never predicted (also 0 in ML-GCN's meter), the recall of a class without positives (NaN there), and every metric of
a picture without positives (also 0 in deep-object-reid).
"""

from collections.abc import Callable

import numpy as np

from mlrepro.metrics import check, in_parallel, ratio

BLOCK = (
    1 << 18
)  # entries that are decided at a time, so that what is made of them stays in a core's cache


def thresholded_metrics(
    scores: np.ndarray, labels: np.ndarray, threshold: float | np.ndarray, strict: bool = False
) -> dict[str, float]:
    """Metrics of the rule score >= threshold, or, if `strict`, of deep-object-reid's, score > threshold.

    scores, labels (N, C): see `mlrepro.metrics`. threshold: one, or (C,) of them, on the scale of the scores (0 for
    logits is 0.5 for probabilities).

    OP, OR, OF1             precision, recall and F1 of all decisions together; micro_F1 is OF1's other name
    CP, CR, CF1             means over classes of precision and recall, and CF1 = 2 CP CR / (CP + CR), as in ML-GCN, ASL
                            and most papers; macro_F1 is the mean of the classes' F1, which is less
    sample_precision, sample_recall, sample_F1, sample_IoU
                            means over pictures; deep-object-reid (AAM) prints the first three as CP, CR, CF1
    exact_match, label_accuracy
                            share of pictures with every decision right, share of right decisions
    all_negative_accuracy   the label_accuracy of predicting nothing, which label_accuracy should be read against
    """
    scores, labels = check(scores, labels)
    threshold = np.asarray(threshold)
    if threshold.shape not in ((), labels.shape[1:]) or np.isnan(threshold).any():
        raise ValueError(
            f"threshold must be a number or ({labels.shape[1]},) numbers, not {threshold}"
        )
    compare = np.greater if strict else np.greater_equal
    return _of_decisions(
        *_counts(lambda some: compare(some, threshold), scores, labels),
        np.count_nonzero(labels != -1),
    )


def top_k_metrics(
    scores: np.ndarray, labels: np.ndarray, k: int = 3, threshold: float | None = None
) -> dict[str, float]:
    """OP, OR, OF1, CP, CR, CF1 when the k best classes of each picture are predicted (Wang et al. 2016, CNN-RNN).

    threshold: they must also score at least this much, as the code of ML-GCN and CSRA demands (its `top-3` columns are
    so defined; precision is higher). An ignored class takes its place among the k but is not counted. Of tied classes
    the earlier one is taken.
    """
    scores, labels = check(scores, labels)
    least = -np.inf if threshold is None else threshold
    return _overall_and_per_class(
        *_counts(lambda some: _best(some, k) & (some >= least), scores, labels)[0]
    )


def precision_recall_at_k(scores: np.ndarray, labels: np.ndarray, k: int) -> dict[str, float]:
    """prec_at_k and rec_at_k, means over pictures of the k best classes' precision (hits / k) and recall, and top_k,
    the share of pictures with a hit; k's value stands in the keys. An ignored class is no hit. Of tied classes the
    earlier one is taken; in the code of Cole et al. 2021, the source, that depends on numpy's build and the processor.
    """
    scores, labels = check(scores, labels)
    positive = labels == 1
    hits = (_best(scores, k) & positive).sum(axis=1)
    return {
        f"prec_at_{k}": 100 * float(np.mean(hits / k)),
        f"rec_at_{k}": 100 * float(np.mean(ratio(hits, positive.sum(axis=1)))),
        f"top_{k}": 100 * float(np.mean(hits > 0)),
    }


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is {k}; it may be 1 to {scores.shape[1]}, the number of classes")
    mask = scores >= np.partition(scores, -k, axis=1)[:, -k, None]
    tied = np.flatnonzero(mask.sum(axis=1) > k)
    if len(tied):
        mask[tied] = False
        mask[tied[:, None], np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]] = True
    return mask


def _counts(
    decide: Callable, scores: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True positives, predictions and positives, ignored entries left out: of each class (3, C), and of each picture (3, N).
    decide: scores of some pictures to whether each class is predicted."""

    def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
        predicted, positive, judged = decide(scores[block]), labels[block] == 1, labels[block] != -1
        # Counts below 2^24 are exact in float32, and a matrix product adds several times faster than a sum of booleans.
        parts = np.stack([predicted & positive, predicted & judged, positive]).astype(np.float32)
        return np.ones(parts.shape[1], np.float32) @ parts, parts @ np.ones(
            parts.shape[2], np.float32
        )

    blocks = in_parallel(of_block, len(labels), max(1, BLOCK // max(1, labels.shape[1])))
    of_classes, of_pictures = zip(*blocks, strict=True)
    return np.sum(of_classes, axis=0, dtype=np.int64), np.concatenate(of_pictures, axis=1).astype(
        np.int64
    )


def _harmonic(precision: float, recall: float) -> float:
    return float(ratio(2 * precision * recall, precision + recall))


def _overall_and_per_class(
    hits: np.ndarray, retrieved: np.ndarray, positives: np.ndarray
) -> dict[str, float]:
    overall = (
        100 * float(ratio(hits.sum(), retrieved.sum())),
        100 * float(ratio(hits.sum(), positives.sum())),
    )
    per_class = (
        100 * float(ratio(hits, retrieved).mean()),
        100 * float(ratio(hits, positives).mean()),
    )
    return {
        "OP": overall[0],
        "OR": overall[1],
        "OF1": _harmonic(*overall),
        "CP": per_class[0],
        "CR": per_class[1],
        "CF1": _harmonic(*per_class),
    }


def _of_decisions(of_classes: np.ndarray, of_pictures: np.ndarray, judged: int) -> dict[str, float]:
    (class_hits, class_retrieved, class_positives), (hits, retrieved, positives) = (
        of_classes,
        of_pictures,
    )
    wrong = retrieved + positives - 2 * hits
    micro = ratio(2 * hits.sum(), (retrieved + positives).sum())
    means = {
        "micro_F1": micro,
        "macro_F1": ratio(2 * class_hits, class_retrieved + class_positives),
        "sample_precision": ratio(hits, retrieved),
        "sample_recall": ratio(hits, positives),
        "sample_F1": ratio(2 * hits, retrieved + positives),
        "sample_IoU": ratio(hits, retrieved + positives - hits),
        "exact_match": wrong == 0,
        "label_accuracy": np.float64(judged - wrong.sum()) / judged,
        "all_negative_accuracy": np.float64(judged - positives.sum()) / judged,
    }
    return _overall_and_per_class(*of_classes) | {
        name: 100 * float(np.mean(values)) for name, values in means.items()
    }
