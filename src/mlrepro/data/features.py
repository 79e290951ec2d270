"""Extracted features, pooled or whole maps, and captions' vectors.

Both are safetensors files whose rows follow the manifest, with a header that proves how they were
made.
"""

import json
import math
import os
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.files import file_sha256, whole_tensors, written_whole
from mlrepro.settings.data import Captions, Features

AGAIN = "run the stage that writes it again: dvc repro -f -s <extract or embed stage>"

# --- features ------------------------------------------------------------------------------------


def features_path(data_folder: Path, backbone: str, resolution: int, maps: bool = False) -> Path:
    kind = "-maps" if maps else ""
    return data_folder / "features" / f"{backbone}-{resolution}{kind}.safetensors"


def open_features(
    path: Path, header: dict, shape: tuple[int, ...], resume: bool = False
) -> np.memmap:
    """A safetensors file of float32 (rows, channels) or (rows, C, h, w) to write rows to.

    It is never in memory as a whole. header: backbone, weights, sha256, transform, pooling,
    manifest digest. resume: the same file again, not a new one.
    """
    start = start_of_features(header, shape)
    if not resume:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as file:
            file.write(start)
            file.flush()
            # With all its room: a process that writes to a mapped file on a full disk is killed.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, len(start) + 4 * math.prod(shape))
    return np.memmap(path, "<f4", "r+", len(start), shape)


def start_of_features(header: dict, shape: tuple[int, ...]) -> bytes:
    """What stands in the file before the values."""
    # Laid out as safetensors does, which itself writes only what is whole in memory: the length of
    # the layout, the layout as JSON, filled up to 8 bytes, and the values.
    bytes_of_values = 4 * math.prod(shape)
    layout = {
        "__metadata__": {"header": json.dumps(header, sort_keys=True)},
        "features": {"dtype": "F32", "shape": shape, "data_offsets": [0, bytes_of_values]},
    }
    text = json.dumps(layout, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_header(path: Path) -> dict:
    if not path.is_file():
        raise InputError(
            f"{path}: features are not extracted; run `dvc repro`, or its extract stage (with "
            "features.maps: true for runs on maps)"
        )
    with whole_tensors(path, AGAIN), safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    return json.loads(metadata.get("header", "{}"))


def read_features(
    path: Path, manifest: Manifest, backbone: str, resolution: int, maps: bool = False
) -> tuple[Tensor, dict]:
    """Features (rows, channels), or maps (rows, C, h, w), mapped into memory, and their header.

    Raises InputError for those of other pictures, another backbone or resolution, or of the other
    kind.
    """
    header = read_header(path)
    with safe_open(path, "pt") as file:
        features = file.get_tensor("features")

    size = [resolution, resolution]
    unknown = {"resize": size}  # published features do not say it
    resize = header.get("transform", unknown)["resize"]

    _require(path, "manifest", header.get("manifest"), manifest.digest)
    _require(path, "backbone", header.get("backbone"), backbone)
    _require(path, "resize", resize, size)
    _require(path, "dimensions", features.ndim, 4 if maps else 2)
    _require(path, "rows", len(features), manifest.pictures)
    return features, header


def _require(path: Path, key: str, present, wanted) -> None:
    if present != wanted:
        raise InputError(
            f"{path}: was extracted with {key} {present!r}, this run needs {wanted!r}; mend "
            "`features` (for runs on maps, maps: true) and run the extract stage again: "
            "dvc repro -f -s <extract stage>"
        )


# --- vectors of captions -------------------------------------------------------------------------


def captions_path(data_folder: Path, settings: Captions) -> Path:
    return data_folder / "captions" / f"{settings.name}.safetensors"


def read_captions(path: Path, manifest: Manifest, settings: Captions) -> tuple[Tensor, dict]:
    """Vectors (rows, width), and their header.

    The header: manifest, model, pooling, sha256 of the model's weights, width. Raises InputError
    for those of other pictures, pooling or text model, also where only the model's weights are
    others.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: the caption vectors are not computed; run `dvc repro`, or the embed stage of "
            "its pipeline"
        )
    header = read_header(path)
    wanted = {
        "manifest": manifest.digest,
        "model": settings.model,
        "pooling": settings.pooling,
        # Of the model's weights: where the settings do not pin them, any are right.
        "sha256": settings.sha256 or header.get("sha256"),
    }
    for key, value in wanted.items():
        if header.get(key) != value:
            raise InputError(
                f"{path}: holds vectors made with {key} {header.get(key)!r}, this run needs "
                f"{value!r}; mend `captions` of run or pipeline, and run the embed stage again: "
                "dvc repro -f -s <embed stage>"
            )

    with whole_tensors(path, AGAIN):
        vectors = load_file(path)["captions"]
    return vectors, header | {"width": vectors.shape[1]}


# --- published features --------------------------------------------------------------------------


def import_published(settings: Features, manifest: Manifest, archives: Path, path: Path) -> None:
    """Writes published features to `path` in manifest order, in place of an extraction.

    Nothing proves how they were made. settings.published: files of (N, channels) below `archives`.
    Their rows are the listed pictures of train (before the hold-out) and of test, also those that
    were rejected since (Cole et al. 2021: *_features_imagenet_resnet50.npy).

    Raises InputError for files of another length or width, or with values that are not finite
    numbers.
    """
    used, test = _listed_pictures(manifest)
    train_file = archives / settings.published.train
    test_file = archives / settings.published.test
    train_rows = _load_published(train_file, (~test).sum())
    test_rows = _load_published(test_file, test.sum())
    channels = train_rows.shape[1]
    if test_rows.shape[1] != channels:
        raise InputError(
            f"{test_file}: {test_rows.shape[1]} channels, but {train_file.name} has {channels}; "
            "give the two files of one backbone"
        )

    features = np.empty((manifest.pictures, channels), np.float32)
    features[~test[used]] = _finite_rows(train_file, train_rows, used[~test])
    features[test[used]] = _finite_rows(test_file, test_rows, used[test])

    header = {
        "backbone": settings.backbone,
        "weights": "published",
        "weights_sha256": None,
        "manifest": manifest.digest,
        "published": {file.name: file_sha256(file) for file in (train_file, test_file)},
    }
    open_features(path, header, features.shape)[:] = features


def _listed_pictures(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Of the pictures as they were listed: which the manifest holds, and which are of test."""
    rejected = manifest.summary["rejected"]
    listed = manifest.pictures + len(rejected)

    # The rows of the files are those of the listing, before unreadable pictures were left out.
    used = np.ones(listed, bool)
    used[[entry["row"] for entry in rejected]] = False

    test = np.zeros(listed, bool)
    test[used] = manifest.frame["split"].to_numpy() == "test"
    test[[entry["row"] for entry in rejected if entry["split"] == "test"]] = True
    return used, test


def _load_published(file: Path, pictures: int) -> np.ndarray:
    from mlrepro.data.formats import load_array  # here: the formats import pandas

    remedy = "place it there, mend `features.published`, or extract with `features.weights`"
    rows = load_array(file, "f", 2, remedy)
    if len(rows) != pictures:
        raise InputError(
            f"{file}: {len(rows)} rows of features, but the data set lists {pictures} pictures in "
            "this part; take the files that belong together, or extract with `features.weights`"
        )
    return rows


def _finite_rows(file: Path, rows: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The rows (used, channels) as float32; InputError for values that are not finite numbers."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused below
        kept = rows[used].astype(np.float32, copy=False)
    finite = np.isfinite(kept).all(1)
    if not finite.all():
        row = np.flatnonzero(used)[np.argmin(finite)]
        raise InputError(
            f"{file}: row {row} holds values that are not finite numbers; fetch the file again"
        )
    return kept
