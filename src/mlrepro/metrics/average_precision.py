"""Average precision: exact, interpolated (VOC 2010 on) and 11-point (VOC 2007), and the standard error of its mean."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import chain
from types import ModuleType

import numpy as np

from mlrepro.metrics import check, in_parallel, ratio

KINDS = ("exact", "interpolated", "11-point")
CLASSES = 8  # that a thread copies at a time
MANY = 10_000  # pictures of one class that repay the import of numba (0.5 s)


@cache
def kernels(many: bool) -> ModuleType | None:
    """metrics.kernels; None for few pictures, and where numba is not installed or has no folder to keep what it compiles."""
    try:
        return import_module("mlrepro.metrics.kernels") if many else None
    except (ImportError, RuntimeError):
        return None


def average_precision(scores: np.ndarray, labels: np.ndarray, kind: str = "exact") -> np.ndarray:
    """One kind of `average_precisions`."""
    return average_precisions(scores, labels, (kind,))[kind]


def average_precisions(
    scores: np.ndarray, labels: np.ndarray, kinds: tuple[str, ...] = KINDS
) -> dict[str, np.ndarray]:
    """Average precision of each class as a fraction, (C,) float64, by kind; NaN where a class has no positive.

    scores, labels (N, C): see `mlrepro.metrics`. The kinds share one sort of each class:
    exact         sum of (R_n - R_n-1) P_n over the distinct scores, so that tied pictures count as one step:
                  scikit-learn's average_precision_score.
    interpolated  area under the monotone envelope of the curve (VOC 2010 devkit; Query2Label's voc_mAP).
    11-point      mean of the envelope at recalls 0, 0.1 .. 1, compared exactly, not in floating point (VOC 2007).
    The last two rank picture by picture; of tied pictures the earlier row comes first.
    """
    if wrong := set(kinds) - set(KINDS):
        raise ValueError(f"kind is {wrong.pop()!r}; it may be {', '.join(KINDS)}")
    rows = per_class(lambda s, positive: _by_kind(s, positive, kinds), *check(scores, labels))
    return dict(zip(kinds, np.array(rows, dtype=np.float64).reshape(-1, len(kinds)).T, strict=True))


def mean_average_precision(ap: np.ndarray, empty: str = "zero") -> float:
    """Mean of (C,) average precisions in percent.

    empty: what a class without positives counts. zero: 0, as in scikit-learn and the code of ASL, ML-Decoder and Cole
    et al.; skip: nothing, the mean is over the others (NaN if there are none); nan: the mean is NaN (Query2Label).
    """
    if empty == "zero":
        ap = np.nan_to_num(ap, nan=0.0)
    elif empty == "skip":
        ap = ap[~np.isnan(ap)]
    elif empty != "nan":
        raise ValueError(f"empty is {empty!r}; it may be zero, skip or nan")
    return 100 * float(np.mean(ap)) if len(ap) else float("nan")


def bootstrap_se(
    scores: np.ndarray, labels: np.ndarray, resamples: int = 100, seed: int = 0, empty: str = "skip"
) -> float:
    """Standard error of the exact mAP, in points: its deviation over resamples of the pictures with replacement. Only the test
    pictures vary: neither the training nor its seed does. empty: see `mean_average_precision`."""
    scores, labels = check(scores, labels)
    pictures = len(scores)
    random = np.random.default_rng(seed)
    counts = [
        np.bincount(random.integers(pictures, size=pictures), minlength=pictures)
        for _ in range(resamples)
    ]
    weights = np.stack(counts).astype(np.uint16)  # (resamples, N), how often each picture was drawn
    ap = np.full((resamples, scores.shape[1]), np.nan)
    for c in range(scores.shape[1]):
        rows = np.flatnonzero(labels[:, c] != -1)
        rows = rows[np.argsort(-scores[rows, c])]
        ap[:, c] = _weighted_exact(
            scores[rows, c], labels[rows, c] == 1, weights.take(rows, axis=1)
        )
    return float(np.std([mean_average_precision(row, empty) for row in ap], ddof=1))


def per_class(function: Callable, scores: np.ndarray, labels: np.ndarray) -> list:
    """function(s, positive) of each class: scores and whether they are positive, (n,) and (n,), of the pictures it does not
    ignore."""

    def of_some(some: slice) -> list:
        pairs = zip(
            np.ascontiguousarray(scores[:, some].T),
            np.ascontiguousarray(labels[:, some].T),
            strict=True,
        )
        return [
            function(s, y == 1) if y.min(initial=0) == 0 else function(s[y != -1], y[y != -1] == 1)
            for s, y in pairs
        ]

    return list(chain.from_iterable(in_parallel(of_some, scores.shape[1], CLASSES)))


def positions(
    scores: np.ndarray, positive: np.ndarray, ordered: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(thresholds, hits, retrieved), each (P,): the positives' scores (n,), ascending, how many positives and how many pictures
    score at least as much; and `ordered`: their ranks (P,) from 1, where of tied pictures the earlier comes first.

    Scores are counted in narrow cells, and only the pictures in cells with a positive are sorted: where positives are rare, that
    is a few percent, and costs less than a sort of all.
    """
    cells = 1 << min(max(len(scores).bit_length() - 2, 1), 18)
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    with np.errstate(all="ignore"):
        per_unit = (cells - 1) / (high - low)
    beyond = 0
    if 0 < per_unit < np.inf:  # neither equal nor infinite scores
        if scores.dtype == np.float32 and (fast := kernels(len(scores) >= MANY)):
            found = fast.positions(
                np.require(scores, requirements="CW"),
                np.ascontiguousarray(positive),
                low,
                per_unit,
                cells,
            )
            if len(found[0]):
                return found
        cell = ((scores - low) * per_unit).astype(
            np.int32
        )  # in the order of the scores, for rounding never swaps two numbers
        occupied, counts = cell[positive], np.bincount(cell, minlength=cells)
        counts[occupied] = 0
        near = np.flatnonzero(counts.take(cell) == 0)
        scores, positive, beyond = (
            scores[near],
            positive[near],
            counts.sum() - np.cumsum(counts)[np.sort(occupied)],
        )
    thresholds, hits, retrieved, tied = counts_at_positives(scores, positive)
    retrieved, ranks = retrieved + beyond, (retrieved + beyond)[::-1]
    if ordered and tied.any():
        ranks = (
            np.flatnonzero(positive[np.argsort(-scores, kind="stable")])
            + 1
            + np.broadcast_to(beyond, hits.shape)[::-1]
        )
    return thresholds, hits, retrieved, ranks


def counts_at_positives(
    scores: np.ndarray, positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(thresholds, hits, retrieved, tied), each (P,): the positives' scores, ascending, how many positives and how many pictures
    score at least as much, and whether another picture scores the same. One sort of values, several times faster than an argsort.
    """
    thresholds, ranked = np.sort(scores[positive]), np.sort(scores)
    first = np.searchsorted(ranked, thresholds)
    hits = len(thresholds) - np.searchsorted(thresholds, thresholds)
    tied = np.append(ranked, np.nan)[first + 1] == thresholds
    return thresholds, hits, len(ranked) - first, tied


def _by_kind(scores: np.ndarray, positive: np.ndarray, kinds: tuple[str, ...]) -> list[float]:
    _, hits, retrieved, ranks = positions(scores, positive, ordered=kinds != ("exact",))
    if not len(hits):
        return [np.nan] * len(kinds)
    # A step of k tied positives raises the recall by k / P at one precision: the mean over positives is the sum.
    values = {"exact": np.mean(hits / retrieved)}
    if set(kinds) - {"exact"}:
        # The best precision at a recall of at least i / P, for i = 1 .. P. It is attained at a positive.
        envelope = np.maximum.accumulate((np.arange(1, len(ranks) + 1) / ranks)[::-1])[::-1]
        needed = np.maximum(
            -(-np.arange(11) * len(envelope) // 10), 1
        )  # fewest positives with a recall of k / 10
        values |= {"interpolated": np.mean(envelope), "11-point": np.mean(envelope[needed - 1])}
    return [values[kind] for kind in kinds]


def _weighted_exact(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Exact average precision (R,) of scores (n,) in descending order, where picture n occurs weights[r, n] times."""
    hits, retrieved = (counts[::-1] for counts in counts_at_positives(scores, positive)[1:3])
    steps = weights[:, positive]
    weighted_hits = np.cumsum(steps, axis=1, dtype=np.int32).take(hits - 1, axis=1)
    weighted_retrieved = np.cumsum(weights, axis=1, dtype=np.int32).take(retrieved - 1, axis=1)
    area = (steps * ratio(weighted_hits, weighted_retrieved)).sum(axis=1)
    total = steps.sum(axis=1)
    return np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0)
