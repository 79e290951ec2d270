"""Average precision: exact, interpolated (VOC 2010 on) and 11-point (VOC 2007), and the standard error of its mean."""

from collections.abc import Iterator

import numpy as np

from mlrepro.metrics import check, ratio


def average_precision(scores: np.ndarray, labels: np.ndarray, kind: str = "exact") -> np.ndarray:
    """Average precision of each class as a fraction, (C,) float64; NaN where a class has no positive.

    scores, labels (N, C): see `mlrepro.metrics`. kind:
    exact         sum of (R_n - R_n-1) P_n over the distinct scores, so that tied pictures count as one step:
                  scikit-learn's average_precision_score.
    interpolated  area under the monotone envelope of the curve (VOC 2010 devkit; Query2Label's voc_mAP).
    11-point      mean of the envelope at recalls 0, 0.1 .. 1, compared exactly, not in floating point (VOC 2007).
    The last two rank picture by picture; of tied pictures the earlier row comes first.
    """
    kinds = {"exact": _exact, "interpolated": lambda s, positive: np.mean(_envelope(s, positive)), "11-point": _eleven_point}
    if kind not in kinds:
        raise ValueError(f"kind is {kind!r}; it may be {', '.join(kinds)}")
    function = kinds[kind]
    columns = by_class(*check(scores, labels))
    return np.array([function(s, positive) if positive.any() else np.nan for s, positive in columns])


def mean_average_precision(ap: np.ndarray, empty: str = "zero") -> float:
    """Mean of (C,) average precisions in percent.

    empty: what a class without positives counts. zero: 0, as in scikit-learn and the code of ASL, ML-Decoder and Cole
    et al.; skip: nothing, the mean is over the others (NaN if there are none); nan: the mean is NaN (Query2Label).
    """
    if empty == "zero":
        ap = np.nan_to_num(ap, nan=0.0)
    elif empty == "skip":
        ap = ap[~np.isnan(ap)]
    elif empty != "nan":
        raise ValueError(f"empty is {empty!r}; it may be zero, skip or nan")
    return 100 * float(np.mean(ap)) if len(ap) else float("nan")


def bootstrap_se(scores: np.ndarray, labels: np.ndarray, resamples: int = 100, seed: int = 0,
                 empty: str = "skip") -> float:
    """Standard error of the exact mAP, in points: its deviation over resamples of the pictures with replacement. Only the test
    pictures vary: neither the training nor its seed does. empty: see `mean_average_precision`."""
    scores, labels = check(scores, labels)
    pictures = len(scores)
    random = np.random.default_rng(seed)
    counts = [np.bincount(random.integers(pictures, size=pictures), minlength=pictures) for _ in range(resamples)]
    weights = np.stack(counts).astype(np.uint16)  # (resamples, N), how often each picture was drawn
    ap = np.full((resamples, scores.shape[1]), np.nan)
    for c in range(scores.shape[1]):
        rows = np.flatnonzero(labels[:, c] != -1)
        rows = rows[np.argsort(-scores[rows, c])]
        ap[:, c] = _weighted_exact(scores[rows, c], labels[rows, c] == 1, weights.take(rows, axis=1))
    return float(np.std([mean_average_precision(row, empty) for row in ap], ddof=1))


def by_class(scores: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each class the scores and whether they are positive, (n,) and (n,), of the pictures it does not ignore."""
    columns = np.ascontiguousarray(scores.T), np.ascontiguousarray(labels.T)
    for s, y in zip(*columns, strict=True):
        yield s[y != -1], y[y != -1] == 1


def counts_at_positives(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(thresholds, hits, retrieved), each (P,): the positives' scores, ascending, and how many positives and how many
    pictures score at least as much. One sort of values, which is several times faster than an argsort.
    """
    thresholds, ranked = np.sort(scores[positive]), np.sort(scores)
    hits = len(thresholds) - np.searchsorted(thresholds, thresholds)
    retrieved = len(ranked) - np.searchsorted(ranked, thresholds)
    return thresholds, hits, retrieved


def _exact(scores: np.ndarray, positive: np.ndarray) -> float:
    # A step of k tied positives raises the recall by k / P at one precision: the mean over positives is the sum.
    _, hits, retrieved = counts_at_positives(scores, positive)
    return np.mean(hits / retrieved)


def _envelope(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The best precision at a recall of at least i / P, for i = 1 .. P. It is attained at a positive."""
    order = np.argsort(-scores, kind="stable")
    ranks = np.flatnonzero(positive[order]) + 1
    precision = np.arange(1, len(ranks) + 1) / ranks
    return np.maximum.accumulate(precision[::-1])[::-1]


def _eleven_point(scores: np.ndarray, positive: np.ndarray) -> float:
    envelope = _envelope(scores, positive)
    needed = np.maximum(-(-np.arange(11) * len(envelope) // 10), 1)  # fewest positives with a recall of k / 10
    return np.mean(envelope[needed - 1])


def _weighted_exact(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Exact average precision (R,) of scores (n,) in descending order, where picture n occurs weights[r, n] times."""
    _, hits, retrieved = (counts[::-1] for counts in counts_at_positives(scores, positive))
    steps = weights[:, positive]
    weighted_hits = np.cumsum(steps, axis=1, dtype=np.int32).take(hits - 1, axis=1)
    weighted_retrieved = np.cumsum(weights, axis=1, dtype=np.int32).take(retrieved - 1, axis=1)
    area = (steps * ratio(weighted_hits, weighted_retrieved)).sum(axis=1)
    total = steps.sum(axis=1)
    return np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0)
