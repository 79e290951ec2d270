"""Extracted features, pooled or whole maps, and captions' vectors: safetensors whose rows follow the manifest, with a header
that proves how they were made."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from mlrepro.data.formats import load_array
from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.settings.data import Captions, Features


def features_path(data_folder: Path, backbone: str, resolution: int, maps: bool = False) -> Path:
    return data_folder / "features" / f"{backbone}-{resolution}{'-maps' * maps}.safetensors"


def open_features(
    path: Path, header: dict, shape: tuple[int, ...], resume: bool = False
) -> np.memmap:
    """A safetensors file of float32 (rows, channels) or (rows, C, h, w) to write rows to: never as a whole in memory.

    header: backbone, weights, sha256, transform, pooling, manifest digest. A new file, or the same one again (`resume`).
    """
    # Laid out as safetensors does, which itself writes only what is whole in memory.
    layout = {
        "__metadata__": {"header": json.dumps(header, sort_keys=True)},
        "features": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * math.prod(shape)]},
    }
    text = json.dumps(layout, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if not resume:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(len(text).to_bytes(8, "little") + text)
    return np.memmap(path, "<f4", "r+", 8 + len(text), shape)


def read_header(path: Path) -> dict:
    if not path.is_file():
        raise InputError(
            f"{path}: features are not extracted; run `dvc repro`, or its extract stage (with features.maps: true "
            "for runs on maps)"
        )
    with safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get("header", "{}"))


def read_features(
    path: Path, manifest: Manifest, backbone: str, resolution: int, maps: bool = False
) -> tuple[Tensor, dict]:
    """Features (rows, channels), or maps (rows, C, h, w), mapped into memory, and their header. Raises InputError for those of
    other pictures, another backbone or resolution, or of the other kind."""
    header = read_header(path)
    with safe_open(path, "pt") as file:
        features = file.get_tensor("features")
    size = [resolution] * 2
    for key, found, wanted in (
        ("manifest", header.get("manifest"), manifest.digest),
        ("backbone", header.get("backbone"), backbone),
        (
            "resize",
            header.get("transform", {"resize": size})["resize"],
            size,
        ),  # of published ones it is not known
        ("dimensions", features.ndim, 4 if maps else 2),
        ("rows", len(features), len(manifest.frame)),
    ):
        if found != wanted:
            raise InputError(
                f"{path}: was extracted with {key} {found!r}, this run needs {wanted!r}; mend `features` (for runs "
                "on maps, maps: true) and run the extract stage again: dvc repro -f -s <extract stage>"
            )
    return features, header


def captions_path(data_folder: Path, settings: Captions) -> Path:
    return data_folder / "captions" / f"{settings.name}.safetensors"


def read_captions(path: Path, manifest: Manifest, settings: Captions) -> tuple[Tensor, dict]:
    """Vectors (rows, width); and manifest, model, pooling, sha256 of the model's weights, width. Raises InputError for those of
    other pictures, pooling or text model, also where only the model's weights are others."""
    if not path.is_file():
        raise InputError(
            f"{path}: the caption vectors are not computed; run `dvc repro`, or the embed stage of its pipeline"
        )
    header = read_header(path)
    wanted = {
        "manifest": manifest.digest,
        "model": settings.model,
        "pooling": settings.pooling,
        "sha256": settings.sha256 or header.get("sha256"),
    }
    for key, value in wanted.items():
        if header.get(key) != value:
            raise InputError(
                f"{path}: holds vectors made with {key} {header.get(key)!r}, this run needs {value!r}; mend "
                "`captions` of run or pipeline, and run the embed stage again: dvc repro -f -s <embed stage>"
            )
    vectors = load_file(path)["captions"]
    return vectors, header | {"width": vectors.shape[1]}


def import_published(settings: Features, manifest: Manifest, archives: Path, path: Path) -> None:
    """Writes published features to `path` in manifest order, in place of an extraction. Nothing proves how they were made.

    settings.published: files of (N, channels) below `archives`. Their rows are the listed pictures of train (before the
    hold-out) and of test, also those that were rejected since (Cole et al. 2021: *_features_imagenet_resnet50.npy).
    Raises InputError for files of another length or width, or with values that are not finite numbers.
    """
    used = np.ones(
        len(manifest.frame) + len(manifest.summary["rejected"]), bool
    )  # of the pictures as they were listed
    used[[entry["row"] for entry in manifest.summary["rejected"]]] = False
    test = np.zeros(len(used), bool)
    test[used] = manifest.frame["split"].to_numpy() == "test"
    test[[entry["row"] for entry in manifest.summary["rejected"] if entry["split"] == "test"]] = (
        True
    )
    files = {
        "train": archives / settings.published.train,
        "test": archives / settings.published.test,
    }
    train_rows, test_rows = (
        _published(files["train"], (~test).sum()),
        _published(files["test"], test.sum()),
    )
    if train_rows.shape[1] != test_rows.shape[1]:
        raise InputError(
            f"{files['test']}: {test_rows.shape[1]} channels, but {files['train'].name} has {train_rows.shape[1]}; "
            "give the two files of one backbone"
        )
    features = np.empty((len(manifest.frame), train_rows.shape[1]), np.float32)
    for rows, of_split, file in (
        (train_rows, ~test, files["train"]),
        (test_rows, test, files["test"]),
    ):
        with np.errstate(
            over="ignore"
        ):  # what float32 cannot hold becomes inf, and is refused below
            features[of_split[used]] = rows[used[of_split]]
        if not (finite := np.isfinite(features[of_split[used]]).all(1)).all():
            row = np.flatnonzero(used[of_split])[np.argmin(finite)]
            raise InputError(
                f"{file}: row {row} holds values that are not finite numbers; fetch the file again"
            )
    header = {
        "backbone": settings.backbone,
        "weights": "published",
        "weights_sha256": None,
        "manifest": manifest.digest,
        "published": {file.name: file_sha256(file) for file in files.values()},
    }
    open_features(path, header, features.shape)[:] = features


def _published(file: Path, pictures: int) -> np.ndarray:
    rows = load_array(
        file,
        "f",
        2,
        "place it there, mend `features.published`, or extract with `features.weights`",
    )
    if len(rows) != pictures:
        raise InputError(
            f"{file}: {len(rows)} rows of features, but the data set lists {pictures} pictures in this part; "
            "take the files that belong together, or extract with `features.weights`"
        )
    return rows
