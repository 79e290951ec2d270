"""How far each given label is to be trusted, from out-of-fold probabilities.

- A. Thyagarajan, E. Snorrason, C. Northcutt and J. Mueller, Identifying incorrect annotations in
  multi-label classification data, 2022: a label's quality is its self-confidence, a picture's the
  exponential moving average of its labels'.
- C. Northcutt, L. Jiang and I. Chuang, Confident learning, 2021, eq. 2: whether it is
  an issue.
- A. K. Menon et al., Long-tail learning via logit adjustment, 2021, eq. 9: how a label's
  frequency is taken off.

The tests compare with cleanlab, the authors' library.
"""

import numpy as np

# Of the moving average: so much of it is the worst label's.
ALPHA = 0.8

# How much of a label's log odds is taken off the score of one that is given. With 0, a rare label
# is doubted for being rare: right where people put rare labels on as many wrong pictures as
# frequent ones. 1 is right where they err in proportion to the frequency. Nobody knows: half does
# nearly as well as the better one in both (benchmarks/label_errors.py).
TEMPERATURE = 0.5


def label_quality(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Self-confidence (n, C): how probable what is given is. Both arrays are (n, C).

    labels: 1 present, 0 absent, -1 unknown, whose quality is not a number.
    """
    quality = np.where(labels == 1, probabilities, 1 - probabilities)
    return np.where(labels < 0, np.nan, quality)


def adjusted_quality(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`label_quality`, with the frequency of a label taken off where it is given.

    Its quality is there sigmoid(logit(p) - TEMPERATURE logit(share of pictures that have it)). Each
    label is given somewhere, and somewhere not.
    """
    present = (labels == 1).sum(0)
    absent = (labels == 0).sum(0)

    # A difference of logits is a product of odds with the inverse ones.
    odds = probabilities / (1 - probabilities)
    odds_against = absent / present
    adjusted_odds = odds * odds_against**TEMPERATURE
    adjusted = adjusted_odds / (1 + adjusted_odds)
    return label_quality(np.where(labels == 1, adjusted, probabilities), labels)


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
    least_present = _mean_where(probabilities, labels == 1)
    surely_present = (probabilities >= least_present) & (probabilities > 0.5)

    least_absent = _mean_where(1 - probabilities, labels == 0)
    surely_absent = (1 - probabilities >= least_absent) & (probabilities < 0.5)

    missing = (labels == 0) & surely_present
    wrong = (labels == 1) & surely_absent
    return missing | wrong


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(C,) of (n, C); above every probability where nothing is chosen."""
    count = chosen.sum(0)
    total = np.where(chosen, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
