"""Manifests of Open Images' size, 2,000,000 pictures of 601 classes: read, filtered and sampled, in seconds and within 2 GB.

    python benchmarks/large.py

The manifest is generated: paths as Open Images has them, about eight labels a picture by a long tail, as many known negatives for
the tenth that is not trained on, empty captions. Every step is measured in a new process of its own, in turn with the peer. Its
seconds are those of the step alone; its memory is the process's peak (`ru_maxrss`), with the steps before it and the libraries.

The steps: read the manifest; the rows of each split; the dense labels of validation and test; the batches of an epoch of
training, 64 pictures each, uniformly, and as `class_uniform` draws them; all of these in one process. The peer is
pandas.read_parquet, whose lists are numpy arrays one by one, a plain loop over them, and torch's RandomSampler. Rows and labels
are checked to be the same.

Two more have no peer: writing such a manifest from Python lists, as `prepare` does, and what a training keeps of it beside its
pictures: the dense labels of the training rows, which losses read.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import alone, compare, parser, write

LIMIT_MIB = 2e9 / 2**20
BATCH, SEED = 64, 0
STEPS = {
    "read": "read the manifest",
    "rows": "rows of each split",
    "labels": "labels of validation and test",
    "uniform": "batches of an epoch",
    "class_uniform": "batches of an epoch, class-uniform",
}
ALONE = {"write": "write the manifest from lists", "targets": "labels of the training rows"}


def generate(folder: Path, pictures: int, classes: int) -> None:
    """A manifest in `folder`, of the columns and types that `write_manifest` writes, made without Python lists."""
    import pyarrow
    from pyarrow import parquet

    from mlrepro.data.manifest import CLASSES, MANIFEST, SUMMARY
    from mlrepro.files import write_json

    random, numbers = np.random.default_rng(SEED), np.arange(pictures)
    zipf = 1 / np.arange(1, classes + 1)

    def lists(counts: np.ndarray) -> pyarrow.ListArray:
        values = random.choice(classes, counts.sum(), p=zipf / zipf.sum()).astype(np.int32)
        return pyarrow.ListArray.from_arrays(
            pyarrow.array(np.append(0, counts.cumsum()), pyarrow.int32()), values
        )

    split = np.where(numbers % 10 > 0, "train", np.where(numbers % 20 > 0, "val", "test"))
    none, labels, known = (
        lists(0 * numbers),
        lists(random.integers(1, 16, pictures)),
        lists(8 * (split != "train")),
    )
    negatives = pyarrow.ListArray.from_arrays(
        known.offsets, known.values, mask=pyarrow.array(split == "train")
    )
    columns = {
        "image": [f"train/{i % 256:02x}/{i:016x}.jpg" for i in range(pictures)],
        "part": ["train"] * pictures,
        "split": split,
        "labels": labels,
        "difficult": none,
        "ignored": none,
        "captions": none.cast(pyarrow.list_(pyarrow.string())),
        "width": np.full(pictures, 1024, np.int32),
        "height": np.full(pictures, 768, np.int32),
        "bytes": random.integers(10**5, 10**6, pictures),
        "negatives": negatives,
    }
    parquet.write_table(pyarrow.table(columns), folder / MANIFEST, compression="zstd")
    write_json(folder / CLASSES, [f"class {i}" for i in range(classes)])
    write_json(folder / SUMMARY, {"pictures": "pictures", "rejected": [], "splits": {}})


def ours(folder: Path, held: dict) -> dict:
    """Step -> function; each puts what it makes into `held`, where the later ones find it."""
    import pandas

    from mlrepro.data.images import class_uniform_batches, shuffled_batches
    from mlrepro.data.manifest import pairs, read_manifest, write_manifest

    def read():
        held["manifest"] = read_manifest(folder)

    def rows():
        held["rows"] = {split: held["manifest"].rows(split) for split in ("train", "val", "test")}

    def labels():
        held["labels"] = held["manifest"].label_matrix(
            np.concatenate([held["rows"]["val"], held["rows"]["test"]])
        )

    def uniform():
        held["batches"] = shuffled_batches(len(held["rows"]["train"]), BATCH, SEED, 0)

    def class_uniform():
        manifest, train = held["manifest"], held["rows"]["train"]
        held["batches"] = class_uniform_batches(
            len(train),
            BATCH,
            SEED,
            0,
            classes=manifest.classes,
            positives=pairs(manifest.frame["labels"].iloc[train]),
        )

    def lists():
        manifest = held["manifest"]
        held["frame"] = pandas.DataFrame(
            {name: manifest.frame[name].tolist() for name in manifest.frame}
        )

    def write():
        write_manifest(
            folder / "again", held["frame"], held["manifest"].classes, held["manifest"].summary
        )

    def targets():
        held["targets"] = held["manifest"].label_matrix(held["rows"]["train"])
        class_uniform_batches(
            len(held["targets"]),
            BATCH,
            SEED,
            0,
            classes=held["manifest"].classes,
            positives=np.nonzero(held["targets"] > 0),
        )

    return {
        "read": read,
        "rows": rows,
        "labels": labels,
        "uniform": uniform,
        "class_uniform": class_uniform,
        "lists": lists,
        "write": write,
        "targets": targets,
    }


def usual(folder: Path, held: dict) -> dict:
    import pandas
    from torch.utils.data import BatchSampler, RandomSampler

    classes = len(json.loads((folder / "classes.json").read_text()))

    def read():
        held["frame"] = pandas.read_parquet(folder / "manifest.parquet")

    def rows():
        held["rows"] = {
            split: np.flatnonzero(held["frame"]["split"].to_numpy() == split)
            for split in ("train", "val", "test")
        }

    def labels():
        frame = held["frame"].iloc[np.concatenate([held["rows"]["val"], held["rows"]["test"]])]
        held["labels"] = np.zeros((len(frame), classes), np.int8)
        columns = (frame[name] for name in ("labels", "ignored", "negatives"))
        for out, positives, ignored, negatives in zip(held["labels"], *columns, strict=True):
            if negatives is not None:
                out[:] = -1
                out[negatives] = 0
            out[ignored] = -1
            out[positives] = 1

    def uniform():
        held["batches"] = list(
            BatchSampler(RandomSampler(held["rows"]["train"]), BATCH, drop_last=True)
        )

    def class_uniform():
        by_class, train = [[] for _ in range(classes)], held["rows"]["train"]
        for position, positives in enumerate(held["frame"]["labels"].iloc[train]):
            for label in positives:
                by_class[label].append(position)
        random = np.random.default_rng(SEED)
        drawn = random.integers(classes, size=len(train)).tolist()
        order = [
            by_class[label][int(share * len(by_class[label]))]
            for label, share in zip(drawn, random.random(len(train)).tolist(), strict=True)
        ]
        held["batches"] = [
            order[start : start + BATCH] for start in range(0, len(order) - BATCH + 1, BATCH)
        ]

    return {
        "read": read,
        "rows": rows,
        "labels": labels,
        "uniform": uniform,
        "class_uniform": class_uniform,
    }


def before(step: str) -> list[str]:
    """The steps that `step` needs."""
    return {"read": [], "rows": ["read"], "write": ["read", "lists"], "all": []}.get(
        step, ["read", "rows"]
    )


def child(way: str, step: str, folder: Path) -> dict:
    """What one process measures: seconds, CPU seconds, MiB, and a digest of rows and labels where there are any."""
    held = {}
    steps = {"ours": ours, "usual": usual}[way](folder, held)
    for name in before(step):
        steps[name]()
    wall, cpu = time.perf_counter(), time.process_time()
    for name in STEPS if step == "all" else [step]:
        steps[name]()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    made = [*held.get("rows", {}).values(), held.get("labels", np.zeros(0))]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak,
        "digest": hashlib.sha256(b"".join(part.tobytes() for part in made)).hexdigest(),
    }


def measure(way: str, step: str, folder: Path) -> dict:
    command = [sys.executable, __file__, "--child", way, step, str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def comparison(step: str, folder: Path, repeats: int) -> dict:
    found = {"ours": [], "usual": []}

    def clock(way: str) -> tuple[float, float]:
        found[way].append(one := measure(way, step, folder))
        return one["seconds"], one["cpu_seconds"]

    row = compare(
        STEPS.get(step, "all of these"),
        "ours",
        "usual",
        repeats,
        clock,
        peer="pandas, a loop, torch's sampler",
    )
    if len({one["digest"] for ways in found.values() for one in ways}) > 1:
        raise SystemExit(f"{step}: rows or labels differ")
    peaks = {way: max(one["peak_mib"] for one in ones) for way, ones in found.items()}
    return row | {
        "peak_mib": peaks["ours"],
        "peer_peak_mib": peaks["usual"],
        "limit_mib": LIMIT_MIB,
    }


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return print(json.dumps(child(sys.argv[2], sys.argv[3], Path(sys.argv[4]))))
    given: argparse.Namespace = parser(
        __doc__, pictures=2_000_000, classes=601, repeats=3
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), given.pictures, given.classes)
        rows = [comparison(step, Path(folder), given.repeats) for step in (*STEPS, "all")]
        for step, name in ALONE.items():
            found = [measure("ours", step, Path(folder)) for _ in range(given.repeats)]
            peak = max(one["peak_mib"] for one in found)
            rows.append(
                alone(name, [one["seconds"] for one in found], note=f"peak memory {peak:,.0f} MiB")
            )
    write("large", rows, __doc__, given.out, pictures=given.pictures, classes=given.classes)


if __name__ == "__main__":
    main()
