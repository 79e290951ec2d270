"""Thresholds that maximise F1.

Tune them on validation or training pictures, never on those the metrics are read on.
"""

import numpy as np

from mlrepro.metrics.arrays import check
from mlrepro.metrics.average_precision import per_class, positions

# Positives of a label whose own threshold weighs as much as the common one. One that is tuned on
# one positive is the score of that one, and says no more than what all other labels say.
POSITIVES_OF_HALF_WEIGHT = 1


def tune_thresholds(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The threshold of each class that maximises its F1, (C,) float64.

    The rule is score >= threshold. scores, labels (N, C) of validation or training pictures, never
    of the test: see `mlrepro.metrics`. A threshold is the score of the lowest positive that is
    still predicted, not the midpoint to the next; of several that are equally good it is the
    lowest. A class without positives gets +inf: it is never predicted.
    """
    return np.array(per_class(_best_threshold, *check(scores, labels)))


def tune_thresholds_released(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What deep-object-reid (AAM, Table 10) takes for those thresholds, (C,) float64.

    Its rule is score > threshold. It is the argmax of F1 over scikit-learn's
    precision_recall_curve, where an F1 of 0 / 0 is NaN, which numpy's argmax takes for the maximum.
    Where a negative ranks first, it so is the lowest score above all positives', and hardly
    anything is predicted; in a class without positives it is the lowest score, and nearly
    everything is.
    """
    return np.array(per_class(_released_threshold, *check(scores, labels)))


def tune_global_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The one threshold that maximises the micro F1 of all classes.

    Else as `tune_thresholds`. Never on the test.
    """
    scores, labels = check(scores, labels)
    judged = labels != -1
    return _best_threshold(scores[judged], labels[judged] == 1)


def tune_shrunk_thresholds(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Thresholds of labels that few pictures have, drawn towards one of all labels, (C,) float64.

    Scores of different labels are of different heights, for rare ones are low. So they are compared
    in standard deviations above the label's mean over all pictures. There the common threshold is
    that of `tune_global_threshold`, and a label with n positives gets

        n / (n + 1) * its own of `tune_thresholds` + 1 / (n + 1) * the common one

    A label without positives gets the common one, and all get +inf where no label has one. The
    rule is score >= threshold. scores, labels (N, C) of validation pictures, never of the test.
    """
    scores, labels = check(scores, labels)
    scores = scores.astype(np.float64)
    mean = scores.mean(0)
    deviation = scores.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)

    positives = (labels == 1).sum(0)
    if not positives.any():
        return np.full(scores.shape[1], np.inf)
    common = tune_global_threshold((scores - mean) / deviation, labels)
    tuned = np.where(positives > 0, tune_thresholds(scores, labels), mean)
    own = (tuned - mean) / deviation

    weight = positives / (positives + POSITIVES_OF_HALF_WEIGHT)
    return mean + deviation * (weight * own + (1 - weight) * common)


def _best_threshold(scores: np.ndarray, positive: np.ndarray) -> float:
    # Only a positive's score can be best: from any other one, moving up to the next positive loses
    # no hit.
    ranked = positions(scores, positive)
    positives = len(ranked.thresholds)
    if not positives:
        return np.inf

    f1 = 2 * ranked.hits / (ranked.retrieved + positives)
    return float(ranked.thresholds[np.argmax(f1)])


def _released_threshold(scores: np.ndarray, positive: np.ndarray) -> float:
    ranked = positions(scores, positive)
    positives = len(ranked.thresholds)
    without_hit = scores[scores > ranked.thresholds.max(initial=-np.inf)]
    if len(without_hit) or not positives:
        return float(without_hit.min(initial=np.inf))

    # Rounded as theirs, which decides between equal F1s.
    precision = ranked.hits / ranked.retrieved
    recall = ranked.hits / positives
    f1 = 2 * precision * recall / (precision + recall)
    return float(ranked.thresholds[np.argmax(f1)])
