"""How far each given label is to be trusted, from out-of-fold probabilities.

- A. Thyagarajan, E. Snorrason, C. Northcutt and J. Mueller, Identifying incorrect annotations in
  multi-label classification data, 2022: a label's quality is its self-confidence, a picture's the
  exponential moving average of its labels'.
- C. Northcutt, L. Jiang and I. Chuang, Confident learning, 2021, eq. 2: whether a label is an issue.

The tests compare with cleanlab, the authors' library.
"""

import numpy as np

# Of the moving average: so much of it is the worst label's.
ALPHA = 0.8


def label_quality(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Self-confidence (n, C): how probable what is given is. Both arrays are (n, C).

    labels: 1 present, 0 absent, -1 unknown, whose quality is not a number.
    """
    quality = np.where(labels == 1, probabilities, 1 - probabilities)
    return np.where(labels < 0, np.nan, quality)


def picture_quality(quality: np.ndarray) -> np.ndarray:
    """(n,) of the labels' (n, C): their exponential moving average from best to worst.

    E_1 = s_1, E_t = ALPHA s_t + (1 - ALPHA) E_(t-1), of s from the largest to the smallest. Unknown
    labels count nowhere; a picture of which no label is known has quality 1.
    """
    # What is not a number is sorted to the end: reversed, it comes first, before any average.
    best_first = np.sort(quality, axis=1)[:, ::-1]
    average = np.full(len(quality), np.nan)
    for column in best_first.T:
        going_on = ALPHA * column + (1 - ALPHA) * average
        average = np.where(np.isnan(average), column, going_on)
    return np.where(np.isnan(average), 1.0, average)


def label_issues(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, C) bool: labels that confident learning takes for wrong, each label for itself.

    The threshold of `present` is the mean probability of being present where it is given, that of
    `absent` likewise. A label is an issue where the other answer reaches its own threshold, and is
    the likelier one: the threshold of a label that no model can learn says little.
    """
    present = _mean_where(probabilities, labels == 1)
    absent = _mean_where(1 - probabilities, labels == 0)
    surely_present = (probabilities >= present) & (probabilities > 0.5)
    surely_absent = (1 - probabilities >= absent) & (probabilities < 0.5)
    return ((labels == 0) & surely_present) | ((labels == 1) & surely_absent)


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(C,) of (n, C); above every probability where nothing is chosen."""
    count = chosen.sum(0)
    total = np.where(chosen, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
