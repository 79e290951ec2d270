"""Thresholds that no rounding crosses."""

import numpy as np

# How far a threshold stays from every score, of the range of the class's scores, and of the
# largest. A network's logits differ by about a hundredth of the second between two sizes of batch.
OF_RANGE = 1e-4
OF_LARGEST = 1e-5
LEAST = 1e-6


def between_scores(thresholds: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(C,) thresholds that mark the same pictures, but lie between two scores of their class.

    A tuned threshold is the score of a picture: whether a score computed in another batch reaches
    it, rounding decides. Such a one becomes the midpoint to the next lower score; of scores that
    rounding may exchange, as copies have, all are marked. One that is far from all scores stays,
    and so does +inf.

    thresholds: (C,). scores: (N, C) of the pictures that they were tuned on.
    """
    moved = [_between(*of_class) for of_class in zip(thresholds, scores.T, strict=True)]
    return np.array(moved, np.float64)


def _between(threshold: float, scores: np.ndarray) -> float:
    scores = scores.astype(np.float64)
    margin = max(OF_RANGE * np.ptp(scores), OF_LARGEST * abs(scores).max(), LEAST)
    if np.isinf(threshold) or abs(scores - threshold).min() >= margin:
        return float(threshold)

    # From the lowest score that is marked, downwards, to the first gap that is wide enough.
    marked = min(scores[scores >= threshold], default=threshold)
    for lower in -np.sort(-scores[scores < marked]):
        if marked - lower >= 2 * margin:
            return float((marked + lower) / 2)
        marked = lower
    return float(marked - margin)
