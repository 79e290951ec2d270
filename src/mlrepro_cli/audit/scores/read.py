"""Chooses the reader of a file of scores, and names what the file itself does not."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from mlrepro.audit.tables import ScoreTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place, open_bytes
from mlrepro_cli.audit.names import read_names
from mlrepro_cli.audit.scores import arrays, coco_results, json_lines, table, voc_detections

TABLES = (".csv", ".tsv", ".txt", ".parquet")
JSON_LINES = (".jsonl", ".ndjson", ".json")

# Of the text of a file of annotations, and how much of it is looked at.
ANNOTATIONS = re.compile(r'"(images|annotations|categories|info|licenses)"\s*:\s*[\[{]')
LOOKED_AT = 1 << 16

# What would run code when it is opened, or needs a library of its own.
REFUSED = {
    ".pt": "torch.load(...), then numpy.savez(...)",
    ".pth": "torch.load(...), then numpy.savez(...)",
    ".pkl": "pickle.load(...), then numpy.savez(...)",
    ".pickle": "pickle.load(...), then numpy.savez(...)",
    ".mat": "scipy.io.loadmat(...), then numpy.savez(...)",
    ".h5": "h5py.File(...), then numpy.savez(...)",
    ".hdf5": "h5py.File(...), then numpy.savez(...)",
}


@dataclass(frozen=True)
class Naming:
    """Files with names that a file of scores may lack. split: of files with several splits."""

    ids: Path | None = None
    classes: Path | None = None
    split: str | None = None


def read_scores(place: Place, naming: Naming) -> ScoreTable:
    """Raises InputError for a format that is not known, and for pictures without names."""
    scores = _read(place, naming)
    if naming.classes:
        scores = _with_classes(scores, read_names(naming.classes), naming.classes)

    ids = naming.ids
    if ids is None and scores.ids is None and place.suffix == ".npy":
        ids = arrays.names_beside(place.path)
    if ids:
        scores = _with_ids(scores, read_names(ids), ids)
    if scores.ids is None and scores.manifest_sha256 is None:
        raise InputError(
            f"{scores.source}: does not name its {len(scores.values):,} pictures, and rows alone "
            "are never trusted; give their ids in the order of its rows, a line each: --ids FILE"
        )
    return scores


def _read(place: Place, naming: Naming) -> ScoreTable:
    if place.path.is_dir() or place.is_archive:
        return voc_detections.read(place, naming.split)
    if place.suffix in REFUSED:
        raise InputError(
            f"{place.path}: {place.suffix} is not read; convert it once: {REFUSED[place.suffix]} "
            "with arrays `ids`, `classes` and `scores`"
        )
    if place.suffix == ".npz":
        return arrays.read_npz(place)
    if place.suffix == ".npy":
        return arrays.read_npy(place)
    if place.suffix == ".safetensors":
        return arrays.read_safetensors(place, naming.split or "test")
    if place.suffix in TABLES:
        return table.read(place)
    if place.suffix in JSON_LINES:
        return _read_json(place)
    raise InputError(
        f"{place.path}: not a format of scores that is known: .npz, .npy, .csv, .tsv, .parquet, "
        ".jsonl, .json, .safetensors, or a folder of VOC results"
    )


def _read_json(place: Place) -> ScoreTable:
    with open_bytes(place.path) as file:
        start = file.read(LOOKED_AT).decode("utf-8-sig", errors="replace")
    if start.lstrip().startswith("{") and ANNOTATIONS.search(start):
        raise InputError(
            f"{place.path}: annotations of pictures, no scores; are scores and labels exchanged?"
        )
    first = json_lines.first_object(place)
    if first is None:
        raise InputError(f"{place.path}: no scores in it")
    if json_lines.is_coco_box(first):
        return coco_results.read(place)
    return json_lines.read(place)


def _with_classes(scores: ScoreTable, names: list[str], path: Path) -> ScoreTable:
    columns = scores.values.shape[1]
    if len(names) != columns:
        raise InputError(
            f"{path}: {len(names)} names, and {scores.source} has {columns} columns; give one a "
            "column"
        )
    return replace(scores, classes=names)


def _with_ids(scores: ScoreTable, names: list[str], path: Path) -> ScoreTable:
    rows = len(scores.values)
    if len(names) != rows:
        raise InputError(
            f"{path}: {len(names):,} names, and {scores.source} has {rows:,} rows; give one a row"
        )
    note = f"Pictures are named by {path}."
    return replace(scores, ids=names, manifest_sha256=None, notes=[*scores.notes, note])
