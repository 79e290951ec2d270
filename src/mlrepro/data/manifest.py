"""The manifest: one row a usable picture. What `prepare` writes and every later stage reads."""

import hashlib
import io
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow
from pyarrow import compute, parquet

from mlrepro.data.manifest_check import check_manifest
from mlrepro.errors import InputError
from mlrepro.files import write_bytes, write_json

if TYPE_CHECKING:
    # Half a second to import, and a training on features needs no frame.
    import pandas

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

# In the file's notes: how the pictures are read, where it is not as they are stored.
APPEARANCE = b"appearance"
# And what was in pictures and labels of one's own.
CONTENT = b"content"

# What a label matrix is made of.
LABEL_COLUMNS = ("labels", "ignored", "negatives")


@dataclass(frozen=True)
class Manifest:
    """One data set, ready to train on.

    table: one row a picture. The columns are
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

    table: pyarrow.Table
    classes: list[str]
    root: Path
    summary: dict
    digest: str
    folder: Path | None = None

    @classmethod
    def of_frame(cls, frame: "pandas.DataFrame", *others, **named) -> "Manifest":
        """One of a frame, which need not have all columns. others, named: the other fields."""
        return cls(_table_of(frame), *others, **named)

    def with_frame(self, frame: "pandas.DataFrame", **changes) -> "Manifest":
        """The same data set with other pictures."""
        table = _table_of(frame).replace_schema_metadata(self.table.schema.metadata)
        return replace(self, table=table, **changes)

    @property
    def appearance(self) -> str:
        """How its pictures are read: `stored` or `shown` (data/appearance.py)."""
        notes = self.table.schema.metadata or {}
        return notes.get(APPEARANCE, b"stored").decode()

    @property
    def content(self) -> str:
        """sha256 of all that labels and pictures held; "" where they are not watched."""
        notes = self.table.schema.metadata or {}
        return notes.get(CONTENT, b"").decode()

    @property
    def pictures(self) -> int:
        return self.table.num_rows

    @cached_property
    def frame(self) -> "pandas.DataFrame":
        """The table for pandas.

        Its lists stay in Arrow: as Python objects, millions of them fill the memory.
        """
        import pandas

        def lists_in_arrow(kind: pyarrow.DataType) -> pandas.ArrowDtype | None:
            return pandas.ArrowDtype(kind) if pyarrow.types.is_list(kind) else None

        return self.table.to_pandas(types_mapper=lists_in_arrow)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split, int64, ascending."""
        column = self.table["split"]
        # Compared with Arrow's own value: given one of Python's, pyarrow imports pandas.
        for name in compute.unique(column):
            if name.as_py() == split:
                return _numbers(compute.indices_nonzero(compute.equal(column, name)))
        return np.empty(0, np.int64)

    def positives(self, rows: np.ndarray) -> np.ndarray:
        """(classes,) how many of these pictures show each class."""
        labels = self.table["labels"].take(_indices(rows, self.pictures))
        _, classes = pairs(labels)
        return np.bincount(classes, minlength=len(self.classes))

    def label_matrix(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(pictures, classes) int8 of all rows or of those asked for.

        1 is positive, 0 negative, -1 ignored.
        """
        names = [name for name in LABEL_COLUMNS if name in self.table.column_names]
        columns = self.table.select(names)
        columns = columns.take(_indices(rows, columns.num_rows))
        matrix = np.zeros((columns.num_rows, len(self.classes)), np.int8)

        # From the weakest to the strongest: a class that is both positive and ignored is positive.
        if "negatives" in names:
            known = compute.indices_nonzero(columns["negatives"].is_valid())
            matrix[_numbers(known)] = -1
            matrix[pairs(columns["negatives"])] = 0
        if "ignored" in names:
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


def pairs(lists: "pyarrow.ChunkedArray | pandas.Series") -> tuple[np.ndarray, np.ndarray]:
    """Row number and class index of every entry of a column of lists, or of none.

    Returns two int64 arrays of equal length.
    """
    column = lists
    if not isinstance(lists, pyarrow.ChunkedArray):
        column = pyarrow.array(lists, INDICES)
    rows = _numbers(compute.list_parent_indices(column))
    classes = _numbers(compute.list_flatten(column))
    return rows, classes


def write_manifest(
    folder: Path,
    frame: "pandas.DataFrame",
    classes: list[str],
    summary: dict,
    notes: dict[str, str] | None = None,
) -> Manifest:
    """Write manifest.parquet, classes.json and summary.json. The same input gives the same bytes.

    `summary["pictures"]` is the picture root, absolute or relative to `folder`. notes: what of the
    pictures is in no column and yet makes another manifest, such as how they are read.
    """
    # Without notes there are none in the file either: even empty ones would make another manifest.
    schema = SCHEMA.with_metadata(notes) if notes else SCHEMA
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
        table = parquet.ParquetFile(pyarrow.BufferReader(_in_arrow(manifest))).read()
        classes = json.loads(classes)
        summary = json.loads(summary)
        check_manifest(table, SCHEMA, classes, summary)
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(
            f"{folder}: damaged manifest ({error}); "
            f"run `dvc repro -f` on the prepare stage of {folder.name}"
        ) from None

    # An absolute root replaces the folder. normpath only tidies up: links are not followed.
    root = Path(os.path.normpath(folder / summary["pictures"]))
    return Manifest(table, classes, root, summary, digest, folder)


def manifest_digest(folder: Path) -> str | None:
    """The `digest` of the manifest that a folder has; none where it has none."""
    try:
        content = (folder / MANIFEST).read_bytes() + (folder / CLASSES).read_bytes()
    except FileNotFoundError:
        return None
    return hashlib.sha256(content).hexdigest()


def _in_arrow(content: bytes) -> pyarrow.Buffer:
    """The bytes in memory of Arrow's own.

    Its threads may let go of Python's while the interpreter ends, which aborts the process.
    """
    sink = pyarrow.BufferOutputStream()
    sink.write(content)
    return sink.getvalue()


def _numbers(column: pyarrow.Array | pyarrow.ChunkedArray) -> np.ndarray:
    """Integers without gaps as int64; pyarrow's `to_numpy` would import pandas."""
    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    parts = [np.from_dlpack(chunk).astype(np.int64) for chunk in chunks]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _indices(rows: np.ndarray | slice, length: int) -> pyarrow.Array:
    """Row numbers for Arrow; `pyarrow.array` would import pandas."""
    if isinstance(rows, slice):
        rows = np.arange(length)[rows]
    rows = np.ascontiguousarray(rows, np.int64)
    return pyarrow.Array.from_buffers(pyarrow.int64(), len(rows), [None, pyarrow.py_buffer(rows)])


def _table_of(frame: "pandas.DataFrame") -> pyarrow.Table:
    known = dict(zip(SCHEMA.names, SCHEMA.types, strict=True)) | {"negatives": INDICES}
    columns = {name: pyarrow.array(frame[name], known.get(name)) for name in frame}
    return pyarrow.table(columns)


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
    content = _read(path, "corrupt")
    remedy = f"run the corrupt stage of {path.parent.name} again"
    try:
        with np.load(io.BytesIO(content)) as arrays:
            kept = {name: arrays[name] for name in arrays if name in ("rows", labels)}
            pictures = len(kept["rows"])
    # What is cut off or none of ours fails in the ways of zipfile, zlib and numpy.
    except Exception as error:
        raise InputError(f"{path}: damaged ({error}); {remedy}") from None

    if labels not in kept:
        raise InputError(f"{path}: was written without known negatives; {remedy}")
    if len(kept[labels]) != pictures:
        raise InputError(f"{path}: damaged (labels of other pictures); {remedy}")
    return kept["rows"], kept[labels]


def _read(path: Path, stage: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; run `dvc repro` on the {stage} stage of {path.parent.name}, "
            f"which writes it"
        ) from None
