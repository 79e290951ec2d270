"""What a model says of pictures that it has not seen, for every picture: in seconds, on features.

Ridge regression in closed form on features of unit length, standardised, a fold left out in turn;
its constant is the one that predicts the left-out labels best. Scores become probabilities by
Platt's sigmoid.

- A. E. Hoerl and R. W. Kennard, Ridge regression, 1970: the solution.
- J. Platt, Probabilistic outputs for support vector machines, 1999: the sigmoid, and its targets.
"""

import numpy as np

# Constants of the ridge, a picture: of standardised features.
CONSTANTS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1, 3, 10)

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

    best_loss = np.inf
    best = None
    for scores in _out_of_fold_scores(inputs, targets, folds):
        probabilities = platt(scores, labels)
        loss = _log_loss(probabilities, labels)
        if loss < best_loss:
            best_loss, best = loss, probabilities
    return best


def _standardised(features: np.ndarray) -> np.ndarray:
    """(n, d) with mean 0 and spread 1 a column; or fewer columns with the same inner products."""
    inputs = features.astype(np.float64)
    length = np.linalg.norm(inputs, axis=1, keepdims=True)
    inputs /= np.where(length > 0, length, 1)
    inputs -= inputs.mean(0)
    spread = inputs.std(0)
    inputs = inputs[:, spread > LEAST_SPREAD] / spread[spread > LEAST_SPREAD]

    pictures, channels = inputs.shape
    if pictures < channels:
        # The ridge sees inner products alone, and so few pictures span no more directions.
        values, vectors = np.linalg.eigh(inputs @ inputs.T)
        inputs = vectors * np.sqrt(np.maximum(values, 0))
    return inputs


def _out_of_fold_scores(
    inputs: np.ndarray, targets: np.ndarray, folds: np.ndarray
) -> list[np.ndarray]:
    """Scores (n, C) for each of CONSTANTS."""
    scores = [np.empty(targets.shape) for _ in CONSTANTS]
    for fold in np.unique(folds):
        out = folds == fold
        train, train_targets = inputs[~out], targets[~out]
        centre, offset = train.mean(0), train_targets.mean(0)
        train = train - centre

        # (X'X + c n I)^-1 X'Y for every constant c from one decomposition of X'X.
        values, vectors = np.linalg.eigh(train.T @ train)
        projected = vectors.T @ (train.T @ (train_targets - offset))
        held_out = (inputs[out] - centre) @ vectors
        for constant, of_constant in zip(CONSTANTS, scores, strict=True):
            weights = projected / (values + constant * len(train))[:, None]
            of_constant[out] = held_out @ weights + offset
    return scores


def platt(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities sigmoid(a s + b) of scores (n, C), a and b of each label by Newton's method.

    labels: (n, C) 1, 0, or -1, which counts nowhere. Targets are Platt's, (n+ + 1) / (n+ + 2) and
    1 / (n- + 2), so that no label is certain.
    """
    known = labels >= 0
    positives = (labels == 1).sum(0)
    negatives = (labels == 0).sum(0)
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    # Scores are of one scale, so that the same damping suits every label.
    spread = scores.std(0)
    scaled = (scores - scores.mean(0)) / np.where(spread > 0, spread, 1)
    slope = np.zeros(scores.shape[1])
    shift = np.log((positives + 1) / (negatives + 1))

    for _ in range(NEWTON_STEPS):
        probability = _sigmoid(slope * scaled + shift)
        error = np.where(known, probability - target, 0)
        weight = np.where(known, probability * (1 - probability), 0)

        # The gradient and the 2 x 2 curvature of each label.
        by_slope, by_shift = (error * scaled).sum(0), error.sum(0)
        twice_slope = (weight * scaled**2).sum(0) + DAMPING
        mixed = (weight * scaled).sum(0)
        twice_shift = weight.sum(0) + DAMPING
        determinant = twice_slope * twice_shift - mixed**2

        slope = slope - (twice_shift * by_slope - mixed * by_shift) / determinant
        shift = shift - (twice_slope * by_shift - mixed * by_slope) / determinant
    return _sigmoid(slope * scaled + shift)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # Beyond, float64 has no other values than 0 and 1.
    return 1 / (1 + np.exp(-np.clip(logits, -36, 36)))


def _log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of all known decisions."""
    given = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(-np.log(given[labels >= 0]).mean())
