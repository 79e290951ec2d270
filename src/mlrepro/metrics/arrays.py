"""What all metrics need: checked scores and labels, quotients, threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mlrepro.cores import worker_threads
from mlrepro.errors import InputError

# Below, the start of threads and their waiting for each other take longer than the work that they
# share: of 4,000 pictures and 80 classes, say.
THREADS_REPAY = 500_000


def check(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays (N, C); see `mlrepro.metrics`.

    Raises ValueError for a wrong shape, type or label, InputError where a score is not a number.
    """
    scores = np.asarray(scores)
    labels = np.asarray(labels)

    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(
            f"scores and labels must both be (N, C), not {scores.shape} and {labels.shape}"
        )
    if scores.dtype == np.float16:
        raise ValueError(
            "scores are float16, whose rounding ties pictures that the model ranks; score float32 "
            "logits"
        )
    if scores.dtype not in (np.float32, np.float64):
        raise ValueError(f"scores must be float32 or float64, not {scores.dtype}")

    wrong = labels[(labels != 1) & (labels != 0) & (labels != -1)]
    if len(wrong):
        raise ValueError(
            f"labels may be -1, 0 or 1; {len(wrong)} entries are others, among them "
            f"{wrong[:5].tolist()}"
        )

    if np.isnan(scores.min(initial=np.inf)):  # which is NaN where one score is
        missing = np.isnan(scores).sum()
        raise InputError(
            f"scores: {missing} of {scores.size} are NaN, so they have no order; the training "
            "diverged: lower optimizer.lr, or look at the loss in the run's history"
        )
    return scores, labels


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Element-wise quotient as float64, 0 where the denominator is 0."""
    zeros = np.zeros(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)))
    return np.divide(numerator, denominator, out=zeros, where=np.asarray(denominator) != 0)


def in_parallel(function: Callable[[slice], object], size: int, step: int, numbers: int) -> list:
    """function(slice) of every `step` of `size` rows or columns, in order.

    On all cores, for numpy computes without holding the interpreter; one after the other where
    `numbers`, how many are gone through in all, is below THREADS_REPAY.
    """
    slices = [slice(start, start + step) for start in range(0, max(1, size), step)]
    if len(slices) == 1 or numbers < THREADS_REPAY:
        return [function(part) for part in slices]
    with ThreadPoolExecutor(worker_threads()) as pool:
        return list(pool.map(function, slices))
