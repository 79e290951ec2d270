"""Extracted features: safetensors whose rows follow the manifest, with a header that proves how they were made."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mlrepro.errors import InputError


def features_path(data_folder: Path, backbone: str, resolution: int) -> Path:
    return data_folder / "features" / f"{backbone}-{resolution}.safetensors"


def write_features(features: Tensor, header: dict, path: Path) -> None:
    """features: (rows, channels) float32 in manifest order. header: backbone, weights, sha256, transform, manifest digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One metadata entry: safetensors writes several in an order that changes from process to process.
    save_file({"features": features}, path, metadata={"header": json.dumps(header, sort_keys=True)})


def read_header(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"{path}: features are not extracted; run `dvc repro`, or its extract stage")
    with safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get("header", "{}"))


def read_features(path: Path, manifest_digest: str, backbone: str) -> tuple[Tensor, dict]:
    """Features (rows, channels) and their header; raises InputError if they belong to other pictures or another backbone."""
    header = read_header(path)
    for key, wanted in (("manifest", manifest_digest), ("backbone", backbone)):
        if header.get(key) != wanted:
            raise InputError(f"{path}: was extracted with {key} {header.get(key)!r}, this run needs {wanted!r}; "
                             "run the extract stage again: dvc repro -f -s <extract stage>")
    with safe_open(path, "pt") as file:
        return file.get_tensor("features").to(torch.float32), header
