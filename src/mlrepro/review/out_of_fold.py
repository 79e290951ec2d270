"""What a model says of pictures that it has not seen, for every picture: in seconds, on features.

Ridge regression in closed form on features of unit length, standardised, a fold left out in turn;
its constant is the one that predicts the first fold's labels best. Scores become probabilities by
Platt's sigmoid.

- A. E. Hoerl and R. W. Kennard, Ridge regression, 1970: the solution.
- J. Platt, Probabilistic outputs for support vector machines, 1999: the sigmoid, and its targets.
"""

import numpy as np
from scipy.linalg import solve

# Constants of the ridge, a picture: of standardised features.
CONSTANTS = (0.03, 0.1, 0.3, 1, 3, 10, 30)

NEWTON_STEPS = 30
# Added to the curvature, so that a step is finite where a sigmoid is flat.
DAMPING = 1e-9

# Numbers below are rounding, not directions of the features.
LEAST_SPREAD = 1e-6


def out_of_fold_probabilities(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """The probability of every label on every picture, by a model that has not seen the picture.

    features: (n, d). labels: (n, C): 1 given, 0 not, -1 unknown, which trains nothing; each column
    has both 1 and 0. folds: (n,) small integers.

    Returns (n, C) float64.
    """
    inputs = _standardised(features)
    known = labels >= 0
    # An unknown label is put where it draws the ridge nowhere: at the mean of those known.
    mean = np.where(known, labels, 0).sum(0) / known.sum(0)
    targets = np.where(known, labels, mean)

    ridge = Ridge(inputs, targets)
    numbers = np.unique(folds)
    constant = _best_constant(ridge, labels, folds == numbers[0])
    scores = np.empty(labels.shape)
    for number in numbers:
        out = folds == number
        scores[out] = ridge.scores(out, constant)
    return platt(scores, labels)


def _best_constant(ridge: "Ridge", labels: np.ndarray, out: np.ndarray) -> float:
    """That of the best probabilities of one fold. By squared errors it would be too small."""

    own_labels = labels[out]
    known = own_labels >= 0

    def cross_entropy(constant: float) -> float:
        probabilities = platt(ridge.scores(out, constant), own_labels)
        of_the_given = np.where(own_labels == 1, probabilities, 1 - probabilities)
        return float(-np.log(of_the_given[known]).mean())

    return min(CONSTANTS, key=cross_entropy)


def _standardised(features: np.ndarray) -> np.ndarray:
    """(n, d) with mean 0 and spread 1 a column; or fewer columns with the same inner products."""
    inputs = features.astype(np.float64)
    length = np.linalg.norm(inputs, axis=1, keepdims=True)
    inputs /= np.where(length > 0, length, 1)

    inputs -= inputs.mean(0)
    spread = inputs.std(0)
    varies = spread > LEAST_SPREAD
    inputs = inputs[:, varies] / spread[varies]

    pictures, channels = inputs.shape
    if pictures < channels:
        # The ridge sees inner products alone, and X = R'Q' has those of R'.
        inputs = np.linalg.qr(inputs.T, mode="r").T
    return inputs


class Ridge:
    """Linear scores of pictures that were left out; the intercept is not shrunk.

    inputs: (n, d) float64. targets: (n, C).
    """

    def __init__(self, inputs: np.ndarray, targets: np.ndarray):
        ones = np.ones((len(inputs), 1))
        self._inputs = np.hstack([inputs, ones])
        self.targets = targets

        # Of all pictures: what is left out is taken off, which is less work than to add the rest.
        self._products = self._inputs.T @ self._inputs
        self._moments = self._inputs.T @ targets

    def scores(self, out: np.ndarray, constant: float) -> np.ndarray:
        """(left out, C) by the others. out: (n,) bool; constant: of the penalty, a picture."""
        left_out = self._inputs[out]
        products = self._products - left_out.T @ left_out
        moments = self._moments - left_out.T @ self.targets[out]

        # (X'X + c n I)^-1 X'Y, with no penalty on the last row, which is the intercept's.
        penalty = np.full(len(products), constant * (~out).sum())
        penalty[-1] = 0
        products[np.diag_indices_from(products)] += penalty
        return left_out @ solve(products, moments, assume_a="pos", overwrite_a=True)


def platt(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities sigmoid(a s + b) of scores (n, C), a and b of each label by Newton's method.

    labels: (n, C) 1, 0, or -1, which counts nowhere. Targets are Platt's, (n+ + 1) / (n+ + 2) and
    1 / (n- + 2), so that no label is certain.
    """
    known = labels >= 0
    positives = (labels == 1).sum(0)
    negatives = (labels == 0).sum(0)
    if_given = (positives + 1) / (positives + 2)
    if_not = 1 / (negatives + 2)
    target = np.where(labels == 1, if_given, if_not)

    # Scores are of one scale, so that the same damping suits every label.
    spread = scores.std(0)
    scaled = (scores - scores.mean(0)) / np.where(spread > 0, spread, 1)

    # Platt's start: no slope, and the frequency as the probability of all.
    slope = np.zeros(scores.shape[1])
    shift = np.log((positives + 1) / (negatives + 1))

    for _ in range(NEWTON_STEPS):
        probability = _sigmoid(slope * scaled + shift)
        error = np.where(known, probability - target, 0)
        weight = np.where(known, probability * (1 - probability), 0)

        # The gradient of each label's cross-entropy, and its 2 x 2 curvature.
        by_slope = (error * scaled).sum(0)
        by_shift = error.sum(0)
        twice_slope = (weight * scaled**2).sum(0) + DAMPING
        mixed = (weight * scaled).sum(0)
        twice_shift = weight.sum(0) + DAMPING

        # The inverse of a 2 x 2 matrix, written out for all labels at once.
        determinant = twice_slope * twice_shift - mixed**2
        slope = slope - (twice_shift * by_slope - mixed * by_shift) / determinant
        shift = shift - (twice_slope * by_shift - mixed * by_slope) / determinant
    return _sigmoid(slope * scaled + shift)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # Beyond, float64 has no other values than 0 and 1.
    return 1 / (1 + np.exp(-np.clip(logits, -36, 36)))
