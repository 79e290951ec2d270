"""A paired comparison of two sets of scores on resamples of the test pictures.

    python benchmarks/resamples.py

Ours is the mAP of both on 1,000 resamples, and the interval of their difference. The peer is the
same double loop over scikit-learn's average precision: 2 x 1,000 resamples of every class. It is
timed on 3 resamples and 8 classes of one set, and scaled; `difference` is the largest between the
average precisions there. Ours uses a thread a core, the loop one. `what a record keeps` is the 200
resamples of one run, which every evaluation makes.
"""

import statistics
import time

import numpy as np
from common import alone, parser, timed, write
from metrics import create_data
from sklearn.metrics import average_precision_score

from mlrepro.metrics.bootstrap import RESAMPLES, resampled_average_precision, resampled_map
from mlrepro.pairs import Difference, paired_difference
from mlrepro.resamples import KEPT, resampled_maps

TIMED_RESAMPLES = 3  # of the double loop, whose time for all of them is scaled from these
TIMED_CLASSES = 8  # likewise


def compare(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Difference:
    first_maps = resampled_map(resampled_average_precision(first, labels))
    second_maps = resampled_map(resampled_average_precision(second, labels))
    points = float(first_maps.mean() - second_maps.mean())
    return paired_difference(points, first_maps, second_maps)


def double_loop(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision by resample and class, (TIMED_RESAMPLES, C)."""
    random = np.random.default_rng(0)
    pictures = len(labels)
    aps = []
    for _ in range(TIMED_RESAMPLES):
        rows = random.integers(pictures, size=pictures)
        by_class = zip(scores[rows].T, labels[rows].T, strict=True)
        aps.append([average_precision_score(y, s) for s, y in by_class])
    return np.array(aps)


def compared(pictures: int, classes: int, repeats: int) -> list[dict]:
    # Two sets of scores that agree in most.
    first, labels = create_data(pictures, classes)
    noise = np.random.default_rng(1).standard_normal(first.shape, dtype=np.float32)
    second = first + np.float32(0.5) * noise

    # Scaled to both sets, all resamples and all classes.
    few = (first[:, :TIMED_CLASSES], labels[:, :TIMED_CLASSES])
    start = time.perf_counter()
    expected = double_loop(*few)
    of_part = time.perf_counter() - start
    timed_classes = min(TIMED_CLASSES, classes)
    peer_seconds = of_part * 2 * RESAMPLES / TIMED_RESAMPLES * classes / timed_classes

    seconds = [timed(lambda: compare(first, second, labels))[0] for _ in range(repeats)]
    kept = [timed(lambda: resampled_maps(first, labels, "zero"))[0] for _ in range(repeats)]
    found = resampled_average_precision(*few)[:TIMED_RESAMPLES]
    size = f"{pictures:,} x {classes}"
    return [
        alone(
            f"paired comparison of {size}, {RESAMPLES:,} resamples",
            seconds,
            peer="scikit-learn's AP, looped",
            peer_s=peer_seconds,
            ratio=peer_seconds / statistics.median_high(seconds),
            difference=float(np.abs(found - expected).max()),
        ),
        alone(f"what a record keeps of {size}, {KEPT} resamples", kept),
    ]


def main() -> None:
    given = parser(__doc__, sizes="5000x20,40137x80", repeats=3).parse_args()
    rows = []
    for size in given.sizes.split(","):
        pictures, classes = map(int, size.split("x"))
        rows += compared(pictures, classes, given.repeats)
    difference = "of an average precision, as a fraction"
    write("resamples", rows, __doc__, given.out, difference=difference)


if __name__ == "__main__":
    main()
