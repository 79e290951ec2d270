"""Average precisions that code of papers computes otherwise than `average_precision` does.

Tied pictures one after the other instead of together, and means over decisions or pictures instead
of over classes.
"""

import numpy as np

from mlrepro.metrics.arrays import check, in_parallel, ratio
from mlrepro.metrics.average_precision import average_precision, per_class, positions

# Comparisons of a positive with the classes of its picture that are made at a time.
BLOCK = 1 << 22


def average_precision_by_row(
    scores: np.ndarray, labels: np.ndarray, later_first: bool = False
) -> np.ndarray:
    """Average precision of each class where tied pictures are ranked by their row, (C,) fractions.

    Mean over positives of the precision at their rank; of tied pictures the earlier row comes
    first, or with `later_first` the later one. NaN where a class has no positive. Without ties it
    is the exact average precision. scores, labels (N, C): see `mlrepro.metrics`.

    So do loops over a sorted ranking. A sort of the negated scores keeps the order of the rows if
    it is stable (ML-GCN's meter); ASL and ML-Decoder reverse an ascending one. Sorts that are not
    stable give something in between, and each library something else.
    """
    scores, labels = check(scores, labels)
    if later_first:
        scores = scores[::-1]
        labels = labels[::-1]
    return np.array(per_class(_by_row, scores, labels), dtype=np.float64)


def _by_row(scores: np.ndarray, positive: np.ndarray) -> float:
    ranks = positions(scores, positive, ordered=True).ranks
    if not len(ranks):
        return np.nan
    return np.mean(np.arange(1, len(ranks) + 1) / ranks)


def pooled_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Exact average precision of all decisions in one ranking, in percent.

    scikit-learn's average="micro". NaN without any positive. Else as `average_precision`.
    """
    scores, labels = check(scores, labels)
    pooled = average_precision(scores.reshape(-1, 1), labels.reshape(-1, 1))
    return 100 * float(pooled[0])


def sample_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over pictures of the exact average precision of their classes' ranking, in percent.

    scikit-learn's average="samples": a picture without positives counts 0. Else as
    `average_precision`.
    """
    scores, labels = check(scores, labels)
    pictures, classes = scores.shape
    rows, columns = np.nonzero(labels == 1)

    def of_positives(part: slice) -> np.ndarray:
        """Of each positive, the precision of its picture's ranking down to its score."""
        of_picture = scores[rows[part]]
        own = scores[rows[part], columns[part], None]
        judged = labels[rows[part]]
        above = of_picture >= own
        retrieved = (above & (judged != -1)).sum(axis=1)
        hits = (above & (judged == 1)).sum(axis=1)
        return hits / retrieved

    step = max(1, BLOCK // max(1, classes))
    precisions = in_parallel(of_positives, len(rows), step, len(rows) * classes)
    sums = np.bincount(rows, np.concatenate(precisions), minlength=pictures)
    positives = np.bincount(rows, minlength=pictures)
    return 100 * float(np.mean(ratio(sums, positives)))
