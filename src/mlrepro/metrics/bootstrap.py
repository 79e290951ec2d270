"""Resamples of the test pictures: how sure an mAP is, and a difference of two on the same pictures.

A resample draws as many pictures as there are, with replacement. The same seed and number of
pictures draw the same resamples, so that two runs that score the same pictures are compared
resample by resample: what makes a resample easy makes it so for both, and their difference varies
less than either.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np

from mlrepro.metrics.arrays import check, in_parallel, ratio

RESAMPLES = 1000  # of the pictures, unless a caller says otherwise
CONFIDENCE = 0.95  # of the intervals

# Counts of drawn pictures that are kept at a time, one byte each.
BLOCK = 1 << 27
# Pictures of a class that repay the import of numba (0.5 s).
MANY = 2_000


# ---- Resamples -----------------------------------------------------------------------------------


def resampled_average_precision(
    scores: np.ndarray, labels: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Exact average precision of each class on each resample, (resamples, C) fractions.

    NaN where a resample has drawn no positive of a class. scores, labels (N, C): see
    `mlrepro.metrics`. Each class is sorted once a block of resamples, and a resample says how often
    each picture counts.
    """
    scores, labels = check(scores, labels)
    pictures, classes = scores.shape
    random = np.random.default_rng(seed)

    aps = np.full((resamples, classes), np.nan)
    block = max(1, BLOCK // max(1, pictures))
    for start in range(0, resamples, block):
        part = slice(start, min(start + block, resamples))
        counts = _draw(random, pictures, part.stop - part.start)
        of_block = _resample_block(scores, labels, counts)
        aps[part] = np.stack(of_block, axis=1) if classes else 0
    return aps


def _draw(random: np.random.Generator, pictures: int, resamples: int) -> np.ndarray:
    """How often each picture was drawn, (pictures, resamples).

    A byte holds it: 256 times the same of more pictures than that has never happened.
    """
    counts = np.empty((resamples, pictures), np.uint8)
    for row in counts:
        row[:] = np.bincount(random.integers(pictures, size=pictures), minlength=pictures)
    return np.ascontiguousarray(counts.T)


def _resample_block(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    fast = _kernels(len(counts) >= MANY)
    weighted = fast.weighted_average_precision if fast else _weighted_average_precision

    # Ranked here: rankings of all classes would need more memory than scores and labels do.
    def of_class(part: slice) -> np.ndarray:
        ranking = _ranking(scores[:, part.start], labels[:, part.start])
        return weighted(*ranking, counts)

    classes = scores.shape[1]
    return in_parallel(of_class, classes, 1, counts.size * classes) if classes else []


def _ranking(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one class's judged pictures, the best first, (n,) each.

    Their rows; whether they are positive; whether the next picture scores less.
    """
    rows = np.flatnonzero(labels != -1)
    order = rows[np.argsort(-scores[rows], kind="stable")]
    ranked = scores[order]
    positive = labels[order] == 1
    ends_tie = np.ones(len(ranked), bool)
    ends_tie[:-1] = ranked[:-1] != ranked[1:]

    # Nothing is counted behind the last positive and what is tied with it.
    end = 0
    if positive.any():
        last = np.flatnonzero(positive)[-1]
        end = last + np.argmax(ends_tie[last:]) + 1
    return order[:end], positive[:end], ends_tie[:end]


def _weighted_average_precision(
    order: np.ndarray, positive: np.ndarray, ends_tie: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Exact average precision of one class by resample, (R,); NaN without a positive.

    order, positive, ends_tie: of `_ranking`. counts (N, R): how often each picture was drawn.
    """
    if not len(order):
        return np.full(counts.shape[1], np.nan)

    # Tied pictures are one step. Steps without a positive add to what is retrieved alone.
    tie = np.cumsum(ends_tie) - ends_tie
    drawn = counts[order].astype(np.int32)
    first_of_tie = np.flatnonzero(np.append(True, ends_tie[:-1]))
    retrieved = np.cumsum(np.add.reduceat(drawn, first_of_tie), axis=0)

    hit_ties, first_hit = np.unique(tie[positive], return_index=True)
    steps = np.add.reduceat(drawn[positive], first_hit)
    hits = np.cumsum(steps, axis=0)

    area = (steps * ratio(hits, retrieved[hit_ties])).sum(axis=0)
    total = hits[-1]
    return np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0)


@cache
def _kernels(many: bool) -> ModuleType | None:
    """metrics.resampling_kernels.

    None for few pictures, and where numba is not installed or has no folder to keep what it
    compiles.
    """
    if not many:
        return None
    try:
        return import_module("mlrepro.metrics.resampling_kernels")
    except (ImportError, RuntimeError):
        return None


def resampled_map(aps: np.ndarray, empty: str = "zero") -> np.ndarray:
    """The mAP of each resample in percent, (R,), of average precisions (R, C).

    empty: what a class without positives counts, see `mean_average_precision`. Under `nan`, a class
    that a resample alone lacks is skipped there, and with one that all of them lack there is no
    mAP. NaN where a resample has no mAP.
    """
    if empty == "zero":
        return 100 * np.nan_to_num(aps, nan=0.0).mean(axis=1)
    known = ~np.isnan(aps)
    if empty == "nan" and not known.any(axis=0).all():
        return np.full(len(aps), np.nan)
    return 100 * np.divide(
        np.where(known, aps, 0).sum(axis=1),
        known.sum(axis=1),
        out=np.full(len(aps), np.nan),
        where=known.any(axis=1),
    )


# ---- What resamples say --------------------------------------------------------------------------


def standard_error(maps: np.ndarray) -> float:
    """Of an mAP, in points: its deviation over resamples (R,) of the pictures.

    Only the test pictures vary: neither the training nor its seed does. NaN are left out; NaN where
    fewer than two are left.
    """
    known = maps[~np.isnan(maps)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else np.nan


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Between which the middle resamples lie, of (R,); NaN are left out, NaN where nothing is left.

    The percentile interval of Efron and Tibshirani 1993, chapter 13.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values (n,) of comparisons that are made together.

    Those of at most q are true differences but for a share q of them (Benjamini and Hochberg 1995).
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    count = len(p_values)
    raised = p_values[order] * count / np.arange(1, count + 1)

    # A larger p-value is never adjusted to a smaller one.
    adjusted = np.minimum.accumulate(raised[::-1])[::-1]
    result = np.empty(count)
    result[order] = np.minimum(adjusted, 1.0)
    return result
