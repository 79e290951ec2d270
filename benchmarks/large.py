"""Manifests of Open Images' size: read, filtered and sampled, in seconds and within 2 GB.

    python benchmarks/large.py

The manifest of 2,000,000 pictures of 601 classes is generated: paths as Open Images has them, about
eight labels a picture by a long tail, as many known negatives for the tenth that is not trained on,
empty captions. Every step is measured in a new process of its own, in turn with the peer. Its
seconds are those of the step alone; its memory is the process's peak (`ru_maxrss`), with the steps
before it and the libraries.

The steps: read the manifest; the rows of each split; the dense labels of validation and test; the
batches of an epoch of training, 64 pictures each, uniformly, and as `class_uniform` draws them; all
of these in one process. The peer is pandas.read_parquet, whose lists are numpy arrays one by one, a
plain loop over them, and torch's RandomSampler. Rows and labels are checked to be the same.

Two more have no peer: writing such a manifest from Python lists, as `prepare` does, and what a
training keeps of it beside its pictures: the dense labels of the training rows, which losses read.
"""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import alone, compare, parser, timed, write

LIMIT_MIB = 2e9 / 2**20  # of a process, which is two gigabytes
BATCH = 64
SEED = 0
SPLITS = ("train", "val", "test")

# What is compared with the peer, and what has none: a step's name, and the page's words for it.
STEPS = {
    "read": "read the manifest",
    "rows": "rows of each split",
    "labels": "labels of validation and test",
    "uniform": "batches of an epoch",
    "class_uniform": "batches of an epoch, class-uniform",
}
ALL = "all"  # of STEPS, one after the other
ALONE = {"write": "write the manifest from lists", "targets": "labels of the training rows"}

# The steps that a step needs, where these are not the manifest and its rows.
BEFORE = {ALL: [], "read": [], "rows": ["read"], "write": ["read", "lists"]}


def generate(folder: Path, pictures: int, classes: int) -> None:
    """A manifest in `folder`, of the columns and types that `write_manifest` writes.

    It is made without Python lists.
    """
    import pyarrow
    from pyarrow import parquet

    from mlrepro.data.manifest import CLASSES, MANIFEST, SUMMARY
    from mlrepro.files import write_json

    random = np.random.default_rng(SEED)
    numbers = np.arange(pictures)
    long_tail = 1 / np.arange(1, classes + 1)
    share_of_class = long_tail / long_tail.sum()

    def lists(counts: np.ndarray) -> pyarrow.ListArray:
        """So many random classes for each picture."""
        values = random.choice(classes, counts.sum(), p=share_of_class).astype(np.int32)
        offsets = pyarrow.array(np.append(0, counts.cumsum()), pyarrow.int32())
        return pyarrow.ListArray.from_arrays(offsets, values)

    # Of twenty pictures, one is of validation and one of test.
    held_out = np.where(numbers % 20 > 0, "val", "test")
    split = np.where(numbers % 10 > 0, "train", held_out)

    # 1 to 15 labels a picture, 8 on average, and 8 known negatives of those that are scored.
    empty = lists(0 * numbers)
    labels = lists(random.integers(1, 16, pictures))
    known = lists(8 * (split != "train"))
    is_train = pyarrow.array(split == "train")
    negatives = pyarrow.ListArray.from_arrays(known.offsets, known.values, mask=is_train)

    columns = {
        "image": [f"train/{i % 256:02x}/{i:016x}.jpg" for i in range(pictures)],
        "part": ["train"] * pictures,
        "split": split,
        "labels": labels,
        "difficult": empty,
        "ignored": empty,
        "captions": empty.cast(pyarrow.list_(pyarrow.string())),
        "width": np.full(pictures, 1024, np.int32),
        "height": np.full(pictures, 768, np.int32),
        "bytes": random.integers(10**5, 10**6, pictures),
        "negatives": negatives,
    }
    parquet.write_table(pyarrow.table(columns), folder / MANIFEST, compression="zstd")
    write_json(folder / CLASSES, [f"class {i}" for i in range(classes)])
    write_json(folder / SUMMARY, {"pictures": "pictures", "rejected": [], "splits": {}})


# --- two ways ------------------------------------------------------------------------------------


class Ours:
    """A method a step; each keeps what it makes, where the later ones find it."""

    def __init__(self, folder: Path):
        # Imported before the clock runs.
        import pandas

        from mlrepro.data import manifest, samplers

        self.folder = folder
        self.pandas = pandas
        self.manifests = manifest
        self.samplers = samplers

    def read(self) -> None:
        self.manifest = self.manifests.read_manifest(self.folder)

    def rows(self) -> None:
        self.rows_of = {split: self.manifest.rows(split) for split in SPLITS}

    def labels(self) -> None:
        scored = np.concatenate([self.rows_of["val"], self.rows_of["test"]])
        self.scored_labels = self.manifest.label_matrix(scored)

    def uniform(self) -> None:
        train = self.rows_of["train"]
        self.batches = self.samplers.shuffled_batches(len(train), BATCH, SEED, 0)

    def class_uniform(self) -> None:
        labels = self.manifest.frame["labels"].iloc[self.rows_of["train"]]
        self._class_uniform(self.manifests.pairs(labels))

    def _class_uniform(self, positives: tuple[np.ndarray, np.ndarray]) -> None:
        n = len(self.rows_of["train"])
        classes = self.manifest.classes
        self.batches = self.samplers.class_uniform_batches(
            n, BATCH, SEED, 0, classes=classes, positives=positives
        )

    def lists(self) -> None:
        frame = self.manifest.frame
        self.frame = self.pandas.DataFrame({name: frame[name].tolist() for name in frame})

    def write(self) -> None:
        again = self.folder / "again"
        classes = self.manifest.classes
        self.manifests.write_manifest(again, self.frame, classes, self.manifest.summary)

    def targets(self) -> None:
        self.train_labels = self.manifest.label_matrix(self.rows_of["train"])
        self._class_uniform(np.nonzero(self.train_labels > 0))


class Usual:
    """The same steps by pandas, plain loops and torch's samplers."""

    def __init__(self, folder: Path):
        # Imported before the clock runs.
        import pandas
        from torch.utils import data

        self.folder = folder
        self.pandas = pandas
        self.torch_data = data
        self.classes = len(json.loads((folder / "classes.json").read_text()))

    def read(self) -> None:
        self.frame = self.pandas.read_parquet(self.folder / "manifest.parquet")

    def rows(self) -> None:
        split_of_row = self.frame["split"].to_numpy()
        self.rows_of = {split: np.flatnonzero(split_of_row == split) for split in SPLITS}

    def labels(self) -> None:
        scored = np.concatenate([self.rows_of["val"], self.rows_of["test"]])
        frame = self.frame.iloc[scored]
        columns = [frame[name] for name in ("labels", "ignored", "negatives")]
        self.scored_labels = np.zeros((len(frame), self.classes), np.int8)
        for row, positives, ignored, negatives in zip(self.scored_labels, *columns, strict=True):
            if negatives is not None:
                row[:] = -1
                row[negatives] = 0
            row[ignored] = -1
            row[positives] = 1

    def uniform(self) -> None:
        sampler = self.torch_data.RandomSampler(self.rows_of["train"])
        self.batches = list(self.torch_data.BatchSampler(sampler, BATCH, drop_last=True))

    def class_uniform(self) -> None:
        train = self.rows_of["train"]
        by_class = [[] for _ in range(self.classes)]
        for position, positives in enumerate(self.frame["labels"].iloc[train]):
            for label in positives:
                by_class[label].append(position)

        random = np.random.default_rng(SEED)
        drawn = random.integers(self.classes, size=len(train)).tolist()
        shares = random.random(len(train)).tolist()
        order = []
        for label, share in zip(drawn, shares, strict=True):
            pictures = by_class[label]
            order.append(pictures[int(share * len(pictures))])

        starts = range(0, len(order) - BATCH + 1, BATCH)
        self.batches = [order[start : start + BATCH] for start in starts]


WAYS = {"ours": Ours, "usual": Usual}


# --- one process a measurement -------------------------------------------------------------------


def child(way: str, step: str, folder: Path) -> dict:
    """What one process measures.

    Seconds, CPU seconds, MiB, and a digest of rows and labels where there are any.
    """
    work = WAYS[way](folder)
    for name in BEFORE.get(step, ["read", "rows"]):
        getattr(work, name)()

    def measured() -> None:
        for name in STEPS if step == ALL else [step]:
            getattr(work, name)()

    seconds, cpu_seconds = timed(measured)
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    # Both ways must have found the same.
    digest = hashlib.sha256()
    for rows in getattr(work, "rows_of", {}).values():
        digest.update(rows.tobytes())
    digest.update(getattr(work, "scored_labels", np.zeros(0)).tobytes())
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak,
        "digest": digest.hexdigest(),
    }


def measure(way: str, step: str, folder: Path) -> dict:
    """`child` in a new process."""
    command = [sys.executable, __file__, "--child", way, step, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def comparison(step: str, folder: Path, repeats: int) -> dict:
    """A row of a step that the peer has, too. SystemExit where rows or labels differ."""
    measured = {"ours": [], "usual": []}

    def clock(way: str) -> tuple[float, float]:
        figures = measure(way, step, folder)
        measured[way].append(figures)
        return figures["seconds"], figures["cpu_seconds"]

    name = STEPS.get(step, "all of these")
    peer = "pandas, a loop, torch's sampler"
    row = compare(name, "ours", "usual", repeats, clock, peer=peer)

    digests = {figures["digest"] for figures in measured["ours"] + measured["usual"]}
    if len(digests) > 1:
        raise SystemExit(f"{step}: rows or labels differ")
    row["peak_mib"] = largest_peak(measured["ours"])
    row["peer_peak_mib"] = largest_peak(measured["usual"])
    row["limit_mib"] = LIMIT_MIB
    return row


def without_peer(step: str, folder: Path, repeats: int) -> dict:
    measured = [measure("ours", step, folder) for _ in range(repeats)]
    seconds = [figures["seconds"] for figures in measured]
    note = f"peak memory {largest_peak(measured):,.0f} MiB"
    return alone(ALONE[step], seconds, note=note)


def largest_peak(measured: list[dict]) -> float:
    return max(figures["peak_mib"] for figures in measured)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        way, step, folder = sys.argv[2:]
        print(json.dumps(child(way, step, Path(folder))))
        return

    given = parser(__doc__, pictures=2_000_000, classes=601, repeats=3).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, given.pictures, given.classes)
        rows = [comparison(step, folder, given.repeats) for step in (*STEPS, ALL)]
        rows += [without_peer(step, folder, given.repeats) for step in ALONE]
    write("large", rows, __doc__, given.out, pictures=given.pictures, classes=given.classes)


if __name__ == "__main__":
    main()
