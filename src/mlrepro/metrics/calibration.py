"""Whether scores are probabilities, and the temperature that makes them so.

Guo et al. 2017: logits are divided by one number, fitted on validation. The ranking of pictures by
a label, and so its average precision, stays as it is.
"""

import numpy as np

BINS = 15  # of scores between 0 and 1, each as wide

# Between these a temperature is looked for.
SMALLEST = 0.01
LARGEST = 100.0


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of all known decisions in points; Guo et al. 2017, eq. 3.

    scores, labels (N, C): probabilities, and 1, 0 or -1 where it is not known.
    """
    known = labels >= 0
    gaps = (scores - labels) * known

    # A score of 1 belongs to the last bin.
    bins = (scores * BINS).astype(int)
    bins = np.minimum(bins, BINS - 1)

    # A bin's share of the decisions times its mean gap is the sum of its gaps over all decisions.
    gaps_by_bin = np.bincount(bins.ravel(), gaps.ravel())
    return 100 * np.abs(gaps_by_bin).sum() / known.sum()


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by, so that the mean log-likelihood of the known labels is largest.

    logits, labels (N, C) of validation pictures, never of the test; -1 is not known. 1 where no
    label is known, or all known ones are of one kind: nothing could be fitted.

    Where every decision is right, the likelihood grows without end as the temperature falls, and
    all scores would become 0 and 1. Then the labels are softened as Platt's are.
    """
    from scipy.optimize import minimize_scalar  # here: most who import this module fit nothing

    known = labels >= 0
    logits = logits[known].astype(np.float64)
    positive = labels[known] == 1
    if not len(positive) or positive.all() or not positive.any():
        return 1.0

    # The logits of what is right.
    right = np.where(positive, logits, -logits)
    certainty = np.ones(len(right))
    if (right > 0).all():
        certainty = _platts_targets(positive)

    # -log sigmoid of both answers, each as likely as it is; convex in the inverse temperature.
    def loss(log_temperature: float) -> float:
        scaled = right / np.exp(log_temperature)
        losses = certainty * np.logaddexp(0, -scaled)
        losses += (1 - certainty) * np.logaddexp(0, scaled)
        return float(losses.mean())

    bounds = (np.log(SMALLEST), np.log(LARGEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def _platts_targets(positive: np.ndarray) -> np.ndarray:
    """How likely each known label (N,) is right: (n + 1) / (n + 2) of n alike (Platt 1999)."""
    positives = positive.sum()
    alike = np.where(positive, positives, len(positive) - positives)
    return (alike + 1) / (alike + 2)
