"""The complete evaluation of a test set against scikit-learn, torchmetrics and timm's evaluator.

    python benchmarks/metrics.py

Ours is everything that a record's table shows: exact and interpolated average precision, precision,
recall and F1 over all and by class at probability 0.5 and for the three best classes, and at the
thresholds that are best for each class on another set of the same size. scikit-learn computes the
exact average precision alone, class by class; torchmetrics and timm what their evaluators do of it,
torchmetrics in float32. All on the same random float32 logits and labels, in turn; `difference` is
the largest between the average precisions.
Ours uses a thread a core, scikit-learn's loop one, the others what torch does; of CPU seconds,
threads make no difference.

The other sizes show how it grows, each once in a process of its own, whose peak memory is stated
beside that of the scores and labels alone; its seconds are those of the first call, with the import
of numba where there are 10,000 pictures (0.5 s). There the same pictures in reverse order are the
validation's, and scikit-learn is timed on 8 classes and scaled. A size that needs more memory than
is free (estimated: 9 bytes an entry, of which scores and labels are 5) is left out.
"""

import time
from multiprocessing import get_context

import numpy as np
from common import alone, compare, installed, parser, timed, write
from sklearn.metrics import average_precision_score

from mlrepro.cores import worker_threads
from mlrepro.metrics.average_precision import average_precision, average_precisions
from mlrepro.metrics.thresholded import thresholded_metrics, top_k_metrics
from mlrepro.metrics.thresholds import tune_thresholds

PEER_CLASSES = 8  # that scikit-learn is timed on where its time is scaled
BYTES = 9  # of memory an entry
CREATED = 50_000  # pictures at a time: the random numbers are float32 copies of what is kept


def create_data(pictures: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 and labels int8 (N, C).

    About three labels a picture, as COCO's; a positive scores 2 higher on average.
    """
    random = np.random.default_rng(seed)
    scores = np.empty((pictures, classes), np.float32)
    labels = np.empty((pictures, classes), np.int8)
    for start in range(0, pictures, CREATED):
        part = slice(start, start + CREATED)
        shape = scores[part].shape
        drawn = random.random(shape, dtype=np.float32)
        labels[part] = drawn < 3 / classes
        noise = random.standard_normal(shape, dtype=np.float32)
        scores[part] = noise + 2 * labels[part]
    return scores, labels


# ---- Ours and the peers ------------------------------------------------------------------------


def complete(
    scores: np.ndarray, labels: np.ndarray, val_scores: np.ndarray, val_labels: np.ndarray
) -> dict:
    aps = average_precisions(scores, labels, ("exact", "interpolated"))
    thresholds = tune_thresholds(val_scores, val_labels)
    return {
        **aps,
        "at 0.5": thresholded_metrics(scores, labels, 0.0),
        "top-3": top_k_metrics(scores, labels, 3),
        "tuned": thresholded_metrics(scores, labels, thresholds),
    }


def scikit_learn(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    by_class = zip(scores.T, labels.T, strict=True)
    return np.array([average_precision_score(y, s) for s, y in by_class])


def timm_evaluator(scores: np.ndarray, labels: np.ndarray) -> dict:
    """MultiLabelClassificationEvaluator, from the whole set as one batch.

    It gives the loss, exact mAP, micro, macro and per-picture F1.
    """
    import torch
    from timm.task.evaluator import MultiLabelClassificationEvaluator

    evaluator = MultiLabelClassificationEvaluator()
    evaluator.update(torch.from_numpy(scores), torch.from_numpy(labels).float())
    return evaluator.compute()


def torchmetrics_ap(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """MultilabelAveragePrecision with exact thresholds: the average precision alone."""
    import torch
    from torchmetrics.classification import MultilabelAveragePrecision

    metric = MultilabelAveragePrecision(scores.shape[1], average="none", thresholds=None)
    probabilities = torch.from_numpy(scores).sigmoid()
    targets = torch.from_numpy(labels).long()
    return metric(probabilities, targets).double().numpy()


# ---- What is measured --------------------------------------------------------------------------


def against_peers(pictures: int, classes: int, repeats: int) -> list[dict]:
    test = create_data(pictures, classes)
    val = create_data(pictures, classes, seed=1)
    ap = average_precision(*test)
    name = f"complete evaluation of {pictures:,} x {classes}"

    def ours() -> dict:
        return complete(*test, *val)

    rows = [
        compare(
            name,
            ours,
            lambda: scikit_learn(*test),
            repeats,
            goal=5.0,
            peer="scikit-learn's AP loop",
            difference=float(np.abs(ap - scikit_learn(*test)).max()),
        ),
        compare(
            name,
            ours,
            lambda: timm_evaluator(*test),
            repeats,
            goal=1.0,
            peer="timm's evaluator",
            difference=abs(ap.mean() - timm_evaluator(*test)["map"] / 100),
        ),
    ]
    if installed("torchmetrics"):
        row = compare(
            name,
            ours,
            lambda: torchmetrics_ap(*test),
            repeats,
            goal=1.0,
            peer="torchmetrics' exact AP",
            difference=float(np.abs(ap - torchmetrics_ap(*test)).max()),
        )
        rows.append(row)

    row = compare(
        f"exact AP of {pictures:,} x {classes}",
        lambda: average_precision(*test),
        lambda: scikit_learn(*test),
        repeats,
        peer="scikit-learn's AP loop",
    )
    rows.append(row)
    return rows


def growth(pictures: int, classes: int) -> dict:
    """One row: ours once, scikit-learn on a few classes and scaled."""
    scores, labels = create_data(pictures, classes)
    seconds, cpu_seconds = timed(lambda: complete(scores, labels, scores[::-1], labels[::-1]))

    peak = kibibytes("/proc/self/status", "VmHWM") / 2**20  # before the peer needs any
    given = (scores.nbytes + labels.nbytes) / 2**30
    an_entry = 1e9 * cpu_seconds / (pictures * classes)
    note = (
        f"{cpu_seconds:.3g} CPU seconds, {an_entry:.0f} ns an entry; peak memory {peak:.2f} GiB, "
        f"of which scores and labels are {given:.2f}"
    )

    few = min(PEER_CLASSES, classes)
    few_scores = scores[:, :few]
    few_labels = labels[:, :few]
    start = time.perf_counter()
    peer = scikit_learn(few_scores, few_labels)
    peer_seconds = (time.perf_counter() - start) * classes / few

    return alone(
        f"complete evaluation of {pictures:,} x {classes}",
        [seconds],
        note=note,
        peak_gib=peak,
        difference=float(np.abs(peer - average_precision(few_scores, few_labels)).max()),
        peer=f"scikit-learn's AP loop, from {few} classes",
        peer_s=peer_seconds,
        ratio=peer_seconds / seconds,
    )


def kibibytes(path: str, key: str) -> int:
    """A value of a file in /proc."""
    with open(path, encoding="ascii") as file:
        values = dict(line.split(":", 1) for line in file)
    number, *_ = values[key].split()
    return int(number)


def main() -> None:
    options = parser(
        __doc__, size="40137x80", growth="5000x20,40137x80,100000x300,1000000x601", repeats=7
    )
    given = options.parse_args()
    pictures, classes = map(int, given.size.split("x"))
    rows = against_peers(pictures, classes, given.repeats)

    left_out = []
    if not installed("torchmetrics"):
        left_out.append(
            "torchmetrics is not installed (`pip install -e '.[benchmarks]'`): not compared"
        )
    for size in filter(None, given.growth.split(",")):
        pictures, classes = map(int, size.split("x"))
        needed = pictures * classes * BYTES
        if needed > kibibytes("/proc/meminfo", "MemAvailable") * 1024:
            left_out.append(f"{pictures:,} x {classes}: {needed / 2**30:.1f} GiB needed")
            print("left out,", left_out[-1])
            continue
        with get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(growth, (pictures, classes)))

    write(
        "metrics",
        rows,
        __doc__,
        given.out,
        difference="of an average precision, as a fraction",
        left_out=left_out,
        threads=worker_threads(),
    )


if __name__ == "__main__":
    main()
