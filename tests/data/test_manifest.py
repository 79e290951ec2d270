"""Manifests and observed labels that were changed by hand, or copied in part."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from mlrepro.data.manifest import (
    CLASSES,
    MANIFEST,
    OBSERVED,
    SCHEMA,
    SUMMARY,
    load_observed,
    read_manifest,
    write_manifest,
)
from mlrepro.errors import InputError

NAMES = ["cat", "dog", "bird"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three pictures, one without a label; one whose negatives are known."""
    frame = pandas.DataFrame(
        {
            "image": ["a.jpg", "b.jpg", "c.jpg"],
            "part": ["train", "train", "test"],
            "split": ["train", "train", "test"],
            "labels": [[0, 2], [], [1]],
            "difficult": [[2], [], []],
            "ignored": [[], [1], []],
            "captions": [[], ["a caption"], []],
            "width": 4,
            "height": 4,
            "bytes": 9,
            "negatives": [None, [0], None],
        }
    )
    rejected = [{"image": "d.jpg", "reason": "missing", "row": 3, "split": "test"}]
    folder = tmp_path / "toy"
    write_manifest(folder, frame, NAMES, {"pictures": "pictures", "rejected": rejected})
    return folder


def refused(folder: Path) -> str:
    """The message, which says what to do."""
    with pytest.raises(InputError) as error:
        read_manifest(folder)
    message = str(error.value)
    assert message.startswith(f"{folder}: damaged manifest (")
    assert message.endswith("run `dvc repro -f` on the prepare stage of toy")
    return message


def test_a_manifest_as_it_was_written(folder):
    manifest = read_manifest(folder)
    expected = [[1, 0, 1], [0, -1, -1], [0, 1, 0]]
    assert manifest.label_matrix().tolist() == expected


def change_column(folder: Path, name: str, values: list, kind: pyarrow.DataType = None) -> None:
    table = parquet.read_table(folder / MANIFEST)
    place = table.column_names.index(name)
    column = pyarrow.array(values, kind or table.schema.field(name).type)
    parquet.write_table(table.set_column(place, name, column), folder / MANIFEST)


@pytest.mark.parametrize("column", ["labels", "difficult", "ignored", "negatives"])
@pytest.mark.parametrize("index", [-1, 3, 2**31 - 1, -(2**31)])
def test_class_indices_that_no_class_has(folder, column, index):
    change_column(folder, column, [[0, index], [], [1]])
    assert f"{column} has the class index {index}, and there are 3 classes" in refused(folder)


@pytest.mark.parametrize("column", ["labels", "difficult", "ignored", "negatives"])
def test_class_indices_that_are_missing(folder, column):
    change_column(folder, column, [[0, None], [], [1]])
    assert f"{column} has 1 indices that are missing" in refused(folder)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_columns_that_are_missing_or_of_another_kind(folder, column):
    whole = (folder / MANIFEST).read_bytes()
    change_column(folder, column, [1.5, 2.5, None], pyarrow.float32())
    assert f"{column} holds float, not " in refused(folder)

    (folder / MANIFEST).write_bytes(whole)
    change_column(folder, column, [None, None, None])
    assert f"{column} is missing in 3 rows" in refused(folder)

    (folder / MANIFEST).write_bytes(whole)
    table = parquet.read_table(folder / MANIFEST).drop_columns([column])
    parquet.write_table(table, folder / MANIFEST)
    assert f"it has no column {column}" in refused(folder)


@pytest.mark.parametrize(
    "content",
    [
        ["cat", "dog"],
        ["cat", "dog", 3],
        ["cat", "dog", None],
        {"cat": 0, "dog": 1, "bird": 2},
        "cat",
        None,
    ],
)
def test_classes_that_are_none(folder, content):
    (folder / CLASSES).write_text(json.dumps(content))
    refused(folder)


REJECTED = {"image": "d.jpg", "reason": "missing", "row": 3, "split": "test"}


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"pictures": 3},
        {"pictures": None, "rejected": []},
        {"pictures": "a", "rejected": [{"image": "d.jpg"}]},
        {"pictures": "a", "rejected": [REJECTED | {"row": -1}]},
        {"pictures": "a", "rejected": [REJECTED | {"row": "three"}]},
        {"pictures": "a", "rejected": {"d.jpg": "missing"}},
    ],
)
def test_a_summary_that_is_none(folder, content):
    (folder / SUMMARY).write_text(json.dumps(content))
    assert "summary.json:\n  " in refused(folder)


@pytest.mark.parametrize("name", [MANIFEST, CLASSES, SUMMARY])
def test_what_is_copied_in_part(folder, name):
    whole = (folder / name).read_bytes()
    for length in sorted({0, 1, 4, 8, len(whole) // 2, len(whole) - 2}):
        (folder / name).write_bytes(whole[:length])
        refused(folder)

    (folder / name).write_bytes(b"[" * 100_000)
    refused(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file; run `dvc repro`"):
        read_manifest(folder)


def test_a_manifest_of_another_data_set(folder, tmp_path):
    """Its classes alone were copied over."""
    write_manifest(
        tmp_path / "other", read_manifest(folder).frame, ["cat"] * 99, {"pictures": "pictures"}
    )
    shutil.copy(tmp_path / "other" / MANIFEST, folder)
    assert read_manifest(folder).classes == NAMES

    (folder / CLASSES).write_text('["cat", "dog"]')
    assert "labels has the class index 2, and there are 2 classes" in refused(folder)


# ---- Observed labels ---------------------------------------------------------------------------


def test_observed_labels_that_are_damaged(folder):
    path = folder / OBSERVED
    np.savez_compressed(path, rows=np.arange(2), observed=np.zeros((2, 3), np.int8))
    rows, labels = load_observed(folder)
    assert (len(rows), labels.shape) == (2, (2, 3))

    message = f"{OBSERVED}: damaged .*; run the corrupt stage of toy again"
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=message):
            load_observed(folder)

    for arrays in (
        {"rows": np.arange(3), "observed": np.zeros((2, 3), np.int8)},
        {"observed": np.zeros((2, 3), np.int8)},
        {"rows": np.array([{}], object), "observed": np.zeros((2, 3), np.int8)},
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            load_observed(folder)
