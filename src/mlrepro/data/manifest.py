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

MANIFEST, CLASSES, SUMMARY, OBSERVED = (
    "manifest.parquet",
    "classes.json",
    "summary.json",
    "observed.npz",
)


@dataclass(frozen=True)
class Manifest:
    """One data set, ready to train on.

    frame: one row a picture, with the columns (lists stay in Arrow: as Python objects, millions of them fill the memory)
        image      posix path below `root`
        part       the data set's own name of its split, e.g. trainval; a hold-out leaves it as it was
        split      train, val or test
        labels     class indices that are positive under the label rule of the settings
        difficult  class indices flagged difficult by the annotators, whatever the rule made of them
        ignored    class indices that are neither positive nor negative under the rule
        captions   sentences; none for most data sets
        width, height (pixels), bytes (of the file); 0 where a data set is used without its pictures
        negatives  in some data sets: class indices that are known to be negative, so that all other classes are ignored; or none
    classes: names, in index order. root: folder of the pictures. summary: the content of summary.json.
    digest: sha256 of the bytes of manifest.parquet followed by those of classes.json. folder: that it was read from.
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
        """(pictures, classes) int8 of all rows or of those asked for: 1 positive, 0 negative, -1 ignored."""
        frame = self.frame.filter(["labels", "ignored", "negatives"]).iloc[rows]
        matrix = np.zeros((len(frame), len(self.classes)), np.int8)
        if "negatives" in frame:
            matrix[frame["negatives"].notna()] = -1
        for column, value in (("negatives", 0), ("ignored", -1), ("labels", 1)):
            if column in frame:
                matrix[pairs(frame[column])] = value
        return matrix


@dataclass(frozen=True)
class Labels:
    """The label matrix of a manifest, of which `labels[rows]` makes the rows asked for: of millions it would not fit."""

    manifest: Manifest

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.manifest.label_matrix(rows)


def pairs(lists: pandas.Series) -> tuple[np.ndarray, np.ndarray]:
    """Row number and class index of every entry of a column of lists, or of none: an int64 and an int32 array of equal length."""
    column = pyarrow.array(lists, pyarrow.list_(pyarrow.int32()))
    counts = compute.list_value_length(column).fill_null(0).to_numpy()
    return np.repeat(np.arange(len(counts)), counts), compute.list_flatten(column).to_numpy()


def write_manifest(
    folder: Path, frame: pandas.DataFrame, classes: list[str], summary: dict
) -> Manifest:
    """Writes manifest.parquet, classes.json and summary.json. The same input gives the same bytes. `summary["pictures"]` is the
    picture root, absolute or relative to `folder`."""
    text, indices = pyarrow.string(), pyarrow.list_(pyarrow.int32())
    schema = pyarrow.schema(
        [
            ("image", text),
            ("part", text),
            ("split", text),
            ("labels", indices),
            ("difficult", indices),
            ("ignored", indices),
            ("captions", pyarrow.list_(text)),
            ("width", pyarrow.int32()),
            ("height", pyarrow.int32()),
            ("bytes", pyarrow.int64()),
            *[("negatives", indices)] * ("negatives" in frame),
        ]
    )
    table = pyarrow.Table.from_pydict(
        {name: frame[name] for name in schema.names}, schema
    ).combine_chunks()
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / MANIFEST, sink.getvalue().to_pybytes())
    write_json(folder / CLASSES, list(classes))
    write_json(folder / SUMMARY, summary)
    return read_manifest(folder)


def read_manifest(folder: Path) -> Manifest:
    """Reads what `write_manifest` wrote. Raises InputError where a file is missing or damaged."""
    folder = Path(folder)
    content = {name: _read(folder / name, "prepare") for name in (MANIFEST, CLASSES, SUMMARY)}
    try:
        table = parquet.read_table(pyarrow.BufferReader(content[MANIFEST]))
        frame = table.to_pandas(
            types_mapper=lambda kind: (
                pandas.ArrowDtype(kind) if pyarrow.types.is_list(kind) else None
            )
        )
        classes, summary = json.loads(content[CLASSES]), json.loads(content[SUMMARY])
    except (ValueError, OSError) as error:
        raise InputError(
            f"{folder}: damaged manifest ({error}); run `dvc repro -f` on the prepare stage of "
            f"{folder.name}"
        ) from None
    root = Path(os.path.normpath(folder / summary["pictures"]))
    digest = hashlib.sha256(content[MANIFEST] + content[CLASSES]).hexdigest()
    return Manifest(frame, classes, root, summary, digest, folder)


def load_observed(
    folder: Path, labels: Literal["observed", "iu"] = "observed"
) -> tuple[np.ndarray, np.ndarray]:
    """The corrupted labels: manifest row numbers, (n,) int64, and labels in {-1, 0, 1}, (n, classes) int8. 0 is unobserved. The
    rows are those of train and of the validation pictures held out of it. iu: with known negatives."""
    path = Path(folder) / OBSERVED
    _read(path, "corrupt")
    with np.load(path) as arrays:
        if labels not in arrays:
            raise InputError(
                f"{path}: was written without known negatives; run the corrupt stage of {path.parent.name} again"
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
