"""Manifests of Open Images' size (2,000,000 pictures, 601 classes): read, filtered and sampled, against pandas.

    python benchmarks/large.py

The manifest is generated: paths as Open Images has them, about eight labels a picture by a long tail, as many known negatives for
the tenth that is not training, empty captions. Each step runs in a new process of its own, which reads the manifest first, in
turn with the peer; its seconds are those of the step without the imports, its memory the process's peak (`ru_maxrss`), with the
imports. The peer is `pandas.read_parquet`, whose lists are numpy arrays one by one, and the plain loop over them.

`rows of a split` filters, `labels of the other splits` makes the dense matrix of the tenth, `an epoch's batches` draws 64 pictures
at a time, uniformly or as `class_uniform` does. All of it together is the goal: in seconds, within 2 GB.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import compare, parser, write

LIMIT_MIB = 2e9 / 2**20
BATCH, SEED = 64, 0


def generate(folder: Path, pictures: int, classes: int) -> None:
    """A manifest in `folder`, of the columns and types that `write_manifest` writes, made without Python lists."""
    import pyarrow
    from pyarrow import parquet

    from mlrepro.data.manifest import CLASSES, MANIFEST, SUMMARY, write_json

    random = np.random.default_rng(SEED)
    zipf = 1 / np.arange(1, classes + 1)

    def lists(counts: np.ndarray) -> pyarrow.ListArray:
        values = random.choice(classes, counts.sum(), p=zipf / zipf.sum()).astype(np.int32)
        return pyarrow.ListArray.from_arrays(pyarrow.array(np.append(0, counts.cumsum()), pyarrow.int32()), values)

    split = np.where(np.arange(pictures) % 10 > 0, "train", np.where(np.arange(pictures) % 20 > 0, "val", "test"))
    none, labels = lists(np.zeros(pictures, np.int64)), lists(random.integers(1, 16, pictures))
    known = lists(np.where(split == "train", 0, 8))
    negatives = pyarrow.ListArray.from_arrays(known.offsets, known.values, mask=pyarrow.array(split == "train"))
    columns = {"image": [f"train/{i % 256:02x}/{i:016x}.jpg" for i in range(pictures)], "part": ["train"] * pictures,
               "split": split, "labels": labels, "difficult": none, "ignored": none,
               "captions": none.cast(pyarrow.list_(pyarrow.string())), "width": np.full(pictures, 1024, np.int32),
               "height": np.full(pictures, 768, np.int32), "bytes": random.integers(10**5, 10**6, pictures),
               "negatives": negatives}
    parquet.write_table(pyarrow.table(columns), folder / MANIFEST, compression="zstd")
    write_json(folder / CLASSES, [f"class {i}" for i in range(classes)])
    write_json(folder / SUMMARY, {"pictures": "pictures", "rejected": [], "splits": {}})


def steps_of_ours(folder: Path) -> dict:
    """Step -> function, in the order in which they run; each may use what the earlier ones left in `held`."""
    from mlrepro.data.images import class_uniform_batches, shuffled_batches
    from mlrepro.data.manifest import pairs, read_manifest
    held = {}

    def read():
        held["manifest"] = read_manifest(folder)

    def rows():
        held["rows"] = held["manifest"].rows("train")
        held["others"] = np.concatenate([held["manifest"].rows(split) for split in ("val", "test")])

    def others():
        held["matrix"] = held["manifest"].label_matrix(held["others"])

    def uniform():
        held["batches"] = [held["rows"][batch] for batch in shuffled_batches(len(held["rows"]), BATCH, SEED, 0)]

    def class_uniform():
        positives = pairs(held["manifest"].frame["labels"].iloc[held["rows"]])
        held["drawn"] = class_uniform_batches(len(held["rows"]), BATCH, SEED, 0, positives=positives, classes=held["manifest"].classes)

    return {"read": read, "rows": rows, "others": others, "uniform": uniform, "class_uniform": class_uniform}


if __name__ == "__main__" and sys.argv[1] == "base":
    folder = Path(sys.argv[2])
    for name, f in steps_of_ours(folder).items():
        t = time.perf_counter()
        f()
        print(name, round(time.perf_counter() - t, 2), "s", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB", flush=True)
elif sys.argv[1] == "gen":
    t = time.perf_counter()
    generate(Path(sys.argv[2]), 2_000_000, 601)
    print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
