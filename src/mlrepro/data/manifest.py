"""The manifest: one row a usable picture. What `prepare` writes and every later stage reads."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas
import pyarrow
from pyarrow import compute, parquet

from mlrepro.errors import InputError
from mlrepro.files import write_bytes, write_json

MANIFEST = "manifest.parquet"
CLASSES = "classes.json"
SUMMARY = "summary.json"
OBSERVED = "observed.npz"

TEXT = pyarrow.string()
INDICES = pyarrow.list_(pyarrow.int32())
# The columns of every manifest; some have `negatives`, too.
SCHEMA = pyarrow.schema(
    {
        "image": TEXT,
        "part": TEXT,
        "split": TEXT,
        "labels": INDICES,
        "difficult": INDICES,
        "ignored": INDICES,
        "captions": pyarrow.list_(TEXT),
        "width": pyarrow.int32(),
        "height": pyarrow.int32(),
        "bytes": pyarrow.int64(),
    }
)


@dataclass(frozen=True)
class Manifest:
    """One data set, ready to train on.

    frame: one row a picture. Its lists stay in Arrow: as Python objects, millions of them fill the
    memory. The columns are
        image      posix path below `root`
        part       the data set's own name of its split, e.g. trainval; a hold-out leaves it
        split      train, val or test
        labels     class indices that are positive under the label rule of the settings
        difficult  class indices flagged difficult by the annotators, whatever the rule made of them
        ignored    class indices that are neither positive nor negative under the rule
        captions   sentences; none for most data sets
        width, height (pixels), bytes (of the file); 0 where pictures are not used
        negatives  in some data sets: class indices that are known to be negative, so that all other
                   classes are ignored; or none
    classes: names, in index order.
    root: folder of the pictures.
    summary: the content of summary.json.
    digest: sha256 of the bytes of manifest.parquet followed by those of classes.json.
    folder: that it was read from.
    """

    frame: pandas.DataFrame
    classes: list[str]
    root: Path
    summary: dict
    digest: str
    folder: Path | None = None

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split, int64, ascending."""
        return np.flatnonzero(self.frame["split"] == split).astype(np.int64)

    def label_matrix(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(pictures, classes) int8 of all rows or of those asked for.

        1 is positive, 0 negative, -1 ignored.
        """
        columns = self.frame.filter(["labels", "ignored", "negatives"]).iloc[rows]
        matrix = np.zeros((len(columns), len(self.classes)), np.int8)

        # From the weakest to the strongest: a class that is both positive and ignored is positive.
        if "negatives" in columns:
            matrix[columns["negatives"].notna()] = -1
            matrix[pairs(columns["negatives"])] = 0
        if "ignored" in columns:
            matrix[pairs(columns["ignored"])] = -1
        matrix[pairs(columns["labels"])] = 1
        return matrix


@dataclass(frozen=True)
class Labels:
    """A manifest's label matrix, made by `labels[rows]` for the rows asked for.

    Of millions of pictures the whole matrix would not fit into the memory.
    """

    manifest: Manifest

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.manifest.label_matrix(rows)


def pairs(lists: pandas.Series) -> tuple[np.ndarray, np.ndarray]:
    """Row number and class index of every entry of a column of lists, or of none.

    Returns an int64 and an int32 array of equal length.
    """
    column = pyarrow.array(lists, INDICES)
    counts = compute.list_value_length(column).fill_null(0).to_numpy()
    row_numbers = np.repeat(np.arange(len(counts)), counts)
    return row_numbers, compute.list_flatten(column).to_numpy()


def write_manifest(
    folder: Path, frame: pandas.DataFrame, classes: list[str], summary: dict
) -> Manifest:
    """Write manifest.parquet, classes.json and summary.json. The same input gives the same bytes.

    `summary["pictures"]` is the picture root, absolute or relative to `folder`.
    """
    schema = SCHEMA
    if "negatives" in frame:
        schema = schema.append(pyarrow.field("negatives", INDICES))
    columns = {name: frame[name] for name in schema.names}
    # In one chunk, since those of the input could show in the file's bytes.
    table = pyarrow.Table.from_pydict(columns, schema).combine_chunks()
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")

    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / MANIFEST, sink.getvalue().to_pybytes())
    write_json(folder / CLASSES, list(classes))
    write_json(folder / SUMMARY, summary)
    return read_manifest(folder)


def read_manifest(folder: Path) -> Manifest:
    """Read what `write_manifest` wrote. Raises InputError where a file is missing or damaged."""
    folder = Path(folder)
    manifest = _read(folder / MANIFEST, "prepare")
    classes = _read(folder / CLASSES, "prepare")
    summary = _read(folder / SUMMARY, "prepare")
    # Of the bytes that were read: another process may replace the files meanwhile.
    digest = hashlib.sha256(manifest + classes).hexdigest()

    try:
        table = parquet.read_table(pyarrow.BufferReader(manifest))
        frame = table.to_pandas(types_mapper=_lists_in_arrow)
        classes = json.loads(classes)
        summary = json.loads(summary)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{folder}: damaged manifest ({error}); "
            f"run `dvc repro -f` on the prepare stage of {folder.name}"
        ) from None

    # An absolute root replaces the folder. normpath only tidies up: links are not followed.
    root = Path(os.path.normpath(folder / summary["pictures"]))
    return Manifest(frame, classes, root, summary, digest, folder)


def _lists_in_arrow(kind: pyarrow.DataType) -> pandas.ArrowDtype | None:
    return pandas.ArrowDtype(kind) if pyarrow.types.is_list(kind) else None


def load_observed(
    folder: Path, labels: Literal["observed", "iu"] = "observed"
) -> tuple[np.ndarray, np.ndarray]:
    """The corrupted labels, of train and of the validation pictures held out of it.

    labels: "iu" are those with known negatives.
    Returns manifest row numbers, (n,) int64, and labels in {-1, 0, 1}, (n, classes) int8; 0 is
    unobserved.
    """
    # For its message where the file is missing: numpy's names neither the stage nor the remedy.
    path = Path(folder) / OBSERVED
    _read(path, "corrupt")
    with np.load(path) as arrays:
        if labels not in arrays:
            raise InputError(
                f"{path}: was written without known negatives; "
                f"run the corrupt stage of {path.parent.name} again"
            )
        return arrays["rows"], arrays[labels]


def _read(path: Path, stage: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; run `dvc repro` on the {stage} stage of {path.parent.name}, "
            f"which writes it"
        ) from None
