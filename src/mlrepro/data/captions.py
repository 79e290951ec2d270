"""Vectors of the pictures' captions: safetensors whose rows follow the manifest, with a header that proves how they were made."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mlrepro.config import Captions
from mlrepro.data.features import read_header
from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError


def captions_path(data_folder: Path, settings: Captions) -> Path:
    return data_folder / "captions" / f"{settings.name}.safetensors"


def read_captions(path: Path, manifest: Manifest, settings: Captions) -> tuple[Tensor, dict]:
    """Vectors (rows, width); and manifest, model, pooling, sha256 of the model's weights, width.

    Raises InputError for those of other pictures, pooling or text model, also where only the model's weights are others.
    """
    if not path.is_file():
        raise InputError(f"{path}: the caption vectors are not computed; run `dvc repro`, or the embed stage of its pipeline")
    header = read_header(path)
    wanted = {"manifest": manifest.digest, "model": settings.model, "pooling": settings.pooling,
              "sha256": settings.sha256 or header.get("sha256")}
    for key, value in wanted.items():
        if header.get(key) != value:
            raise InputError(f"{path}: holds vectors made with {key} {header.get(key)!r}, this run needs {value!r}; mend "
                             "`captions` of run or pipeline, and run the embed stage again: dvc repro -f -s <embed stage>")
    vectors = load_file(path)["captions"]
    return vectors, header | {"width": vectors.shape[1]}
