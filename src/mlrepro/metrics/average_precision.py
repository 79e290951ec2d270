"""Average precision: exact, interpolated (VOC 2010 on) and 11-point (VOC 2007)."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import chain
from types import ModuleType
from typing import NamedTuple

import numpy as np

from mlrepro.metrics.arrays import check, in_parallel

KINDS = ("exact", "interpolated", "11-point")
CLASSES = 8  # that a thread copies at a time
CELLS_REPAY = 4_000  # pictures of one class from which counting in cells beats a sort of all
MANY = 10_000  # pictures of one class that repay the import of numba (0.5 s)
MOST_CELLS = 18  # binary logarithm: of the cells that scores are counted in


# ---- Average precision -------------------------------------------------------------------------


def average_precision(scores: np.ndarray, labels: np.ndarray, kind: str = "exact") -> np.ndarray:
    """One kind of `average_precisions`."""
    return average_precisions(scores, labels, (kind,))[kind]


def average_precisions(
    scores: np.ndarray, labels: np.ndarray, kinds: tuple[str, ...] = KINDS
) -> dict[str, np.ndarray]:
    """Average precision of each class as a fraction, (C,) float64, by kind.

    It is NaN where a class has no positive. scores, labels (N, C): see `mlrepro.metrics`. The kinds
    share one sort of each class:
    exact         sum of (R_n - R_n-1) P_n over the distinct scores, so that tied pictures count as
                  one step: scikit-learn's average_precision_score.
    interpolated  area under the monotone envelope of the curve (VOC 2010 devkit; Query2Label's
                  voc_mAP).
    11-point      mean of the envelope at recalls 0, 0.1 .. 1, compared exactly, not in floating
                  point (VOC 2007).
    The last two rank picture by picture; of tied pictures the earlier row comes first.
    """
    if wrong := set(kinds) - set(KINDS):
        raise ValueError(f"kind is {wrong.pop()!r}; it may be {', '.join(KINDS)}")

    def of_class(class_scores: np.ndarray, positive: np.ndarray) -> list[float]:
        return _by_kind(class_scores, positive, kinds)

    rows = per_class(of_class, *check(scores, labels))
    by_kind = np.array(rows, dtype=np.float64).reshape(-1, len(kinds)).T
    return dict(zip(kinds, by_kind, strict=True))


def mean_average_precision(ap: np.ndarray, empty: str = "zero") -> float:
    """Mean of (C,) average precisions in percent.

    empty: what a class without positives counts. zero: 0, as in scikit-learn and the code of ASL,
    ML-Decoder and Cole et al.; skip: nothing, the mean is over the others (NaN if there are none);
    nan: the mean is NaN (Query2Label).
    """
    if empty == "zero":
        ap = np.nan_to_num(ap, nan=0.0)
    elif empty == "skip":
        ap = ap[~np.isnan(ap)]
    elif empty != "nan":
        raise ValueError(f"empty is {empty!r}; it may be zero, skip or nan")
    return 100 * float(np.mean(ap)) if len(ap) else float("nan")


def per_class(function: Callable, scores: np.ndarray, labels: np.ndarray) -> list:
    """function(scores, positive) of each class.

    Both are (n,), of the n pictures that the class does not ignore; positive: whether they are.
    """

    def of_class(class_scores: np.ndarray, class_labels: np.ndarray):
        if class_labels.min(initial=0) < 0:
            judged = class_labels != -1
            class_scores = class_scores[judged]
            class_labels = class_labels[judged]
        return function(class_scores, class_labels == 1)

    def of_classes(classes: slice) -> list:
        # Copied so that the pictures of a class lie one after the other.
        by_class = np.ascontiguousarray(scores[:, classes].T)
        labels_by_class = np.ascontiguousarray(labels[:, classes].T)
        return [of_class(s, y) for s, y in zip(by_class, labels_by_class, strict=True)]

    parts = in_parallel(of_classes, scores.shape[1], CLASSES, scores.size)
    return list(chain.from_iterable(parts))


def _by_kind(scores: np.ndarray, positive: np.ndarray, kinds: tuple[str, ...]) -> list[float]:
    ranked = positions(scores, positive, ordered=kinds != ("exact",))
    positives = len(ranked.hits)
    if not positives:
        return [np.nan] * len(kinds)

    # A step of k tied positives raises the recall by k / P at one precision: the mean over
    # positives is the sum.
    values = {"exact": np.mean(ranked.hits / ranked.retrieved)}

    if set(kinds) - {"exact"}:
        # The best precision at a recall of at least i / P, for i = 1 .. P. It is attained at a
        # positive.
        precision = np.arange(1, positives + 1) / ranked.ranks
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        values["interpolated"] = np.mean(envelope)

        # The fewest positives with a recall of k / 10. In integers, where the ceiling of a / b is
        # -(-a // b); at recall 0 it is the first positive.
        tenths = np.arange(11) * positives
        needed = np.maximum(-(-tenths // 10), 1)
        values["11-point"] = np.mean(envelope[needed - 1])

    return [values[kind] for kind in kinds]


# ---- Ranks of a class's positives --------------------------------------------------------------


class Positions(NamedTuple):
    """Of the P positives of a class, each (P,).

    thresholds: their scores, ascending. hits, retrieved: how many positives and how many pictures
    score at least as much. ranks: from 1, ascending.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    retrieved: np.ndarray
    ranks: np.ndarray


class Counts(NamedTuple):
    """As `Positions`; tied: whether another picture scores the same."""

    thresholds: np.ndarray
    hits: np.ndarray
    retrieved: np.ndarray
    tied: np.ndarray


def positions(scores: np.ndarray, positive: np.ndarray, ordered: bool = False) -> Positions:
    """Where the positives of one class stand; scores, positive (n,).

    ordered: the ranks are those where of tied pictures the earlier comes first; else they are only
    right without ties.

    Of many pictures, scores are counted in narrow cells, and only the pictures in cells with a
    positive are sorted: where positives are rare, that is a few percent, and costs less than a sort
    of all.
    """
    if len(scores) < CELLS_REPAY:
        return _sorted_positions(scores, positive, ordered)

    # About as many cells as a quarter of the pictures, in powers of two.
    bits = max(len(scores).bit_length() - 2, 1)
    cells = 1 << min(bits, MOST_CELLS)
    low = scores.min(initial=np.inf)
    high = scores.max(initial=-np.inf)
    with np.errstate(all="ignore"):
        per_unit = (cells - 1) / (high - low)

    if not 0 < per_unit < np.inf:  # equal or infinite scores
        return _sorted_positions(scores, positive, ordered)

    fast = kernels(len(scores) >= MANY) if scores.dtype == np.float32 else None
    if fast:
        readable = np.require(scores, requirements="CW")
        arrays = fast.positions(readable, np.ascontiguousarray(positive), low, per_unit, cells)
        compiled = Positions(*arrays)
        if len(compiled.thresholds):  # empty: without positives, or with too many in a cell
            return compiled

    # Cells are in the order of the scores, for rounding never swaps two numbers.
    cell = ((scores - low) * per_unit).astype(np.int32)
    occupied = cell[positive]
    counts = np.bincount(cell, minlength=cells)
    counts[occupied] = 0

    # Cells with a positive are set to 0 above: their pictures are sorted, the others counted.
    near = np.flatnonzero(counts.take(cell) == 0)
    beyond = counts.sum() - np.cumsum(counts)[np.sort(occupied)]
    return _sorted_positions(scores[near], positive[near], ordered, beyond)


def _sorted_positions(
    scores: np.ndarray, positive: np.ndarray, ordered: bool, beyond: np.ndarray | int = 0
) -> Positions:
    """By a sort. beyond (P,): pictures that are not among the given ones and score more."""
    counted = counts_at_positives(scores, positive)
    retrieved = counted.retrieved + beyond

    # Without ties a positive's rank is the number of pictures down to its score.
    ranks = retrieved[::-1]
    if ordered and counted.tied.any():
        order = np.argsort(-scores, kind="stable")
        beyond_by_rank = np.broadcast_to(beyond, counted.hits.shape)[::-1]
        ranks = np.flatnonzero(positive[order]) + 1 + beyond_by_rank

    return Positions(counted.thresholds, counted.hits, retrieved, ranks)


def counts_at_positives(scores: np.ndarray, positive: np.ndarray) -> Counts:
    """Of scores and positive (n,).

    One sort of values is several times faster than an argsort.
    """
    thresholds = np.sort(scores[positive])
    ranked = np.sort(scores)

    # Positions from the low end; the NaN stands behind the highest score, and equals nothing.
    first = np.searchsorted(ranked, thresholds)
    hits = len(thresholds) - np.searchsorted(thresholds, thresholds)
    tied = np.append(ranked, np.nan)[first + 1] == thresholds
    return Counts(thresholds, hits, len(ranked) - first, tied)


@cache
def kernels(many: bool) -> ModuleType | None:
    """metrics.kernels.

    None for few pictures, and where numba is not installed or has no folder to keep what it
    compiles.
    """
    if not many:
        return None
    try:
        return import_module("mlrepro.metrics.kernels")
    except (ImportError, RuntimeError):
        return None
