"""Features of composed backbones, put together from those of their networks.

Networks side by side give the columns side by side, a mirrored one the mean of the features of the
picture and of its mirror image, and a rooted one the square roots of all that. So a pipeline that
compares a network, several of them, their roots and their mirrored form computes each network once,
and once on mirror images.
"""

from collections.abc import Iterable
from pathlib import Path

import torch

from mlrepro.data.features import features_path, open_features, read_features
from mlrepro.data.manifest import Manifest
from mlrepro.models.backbones import signed_root
from mlrepro.models.catalogue import parts_of
from mlrepro.models.complexity.parts import backbone_cost
from mlrepro.models.pretrained import joined_origin
from mlrepro.settings.data import Features
from mlrepro.training.extract import extract

# What the file of a network's features of mirror images has behind the network's name.
FLIPPED = "_flipped"


def extract_pooled(
    wanted: Iterable[Features], manifest: Manifest, data_folder: Path, device: torch.device
) -> None:
    """Writes the pooled features of backbones to their places below `data_folder`.

    Those of the networks that one is composed of stay there, too.
    """
    made: set[Path] = set()
    for settings in wanted:
        parts = parts_of(settings.backbone)
        for network in parts.networks:
            of_network = settings.model_copy(update={"backbone": network})
            views = [False, True] if parts.mirrored else [False]
            for flipped in views:
                path = _path(of_network, data_folder, flipped)
                if path not in made:
                    extract(of_network, manifest, path, device, flipped)
                    made.add(path)

        if parts.composed:
            _compose(settings, manifest, data_folder)


def _path(settings: Features, data_folder: Path, flipped: bool = False) -> Path:
    named = settings.backbone + (FLIPPED if flipped else "")
    return features_path(data_folder, named, settings.resolution)


def _compose(settings: Features, manifest: Manifest, data_folder: Path) -> None:
    """Writes the features of a composed backbone from those of its networks."""
    parts = parts_of(settings.backbone)
    columns = []
    headers = []
    for network in parts.networks:
        of_network = settings.model_copy(update={"backbone": network})
        named = (manifest, network, settings.resolution)
        features, header = read_features(_path(of_network, data_folder), *named)
        if parts.mirrored:
            flipped, _ = read_features(_path(of_network, data_folder, flipped=True), *named)
            features = (features + flipped) / 2
        if parts.root:
            features = signed_root(features)
        columns.append(features)
        headers.append(header)

    width = sum(features.shape[1] for features in columns)
    header = _joined_header(settings, headers)
    path = _path(settings, data_folder)
    values = open_features(path, header, (manifest.pictures, width))
    start = 0
    for features in columns:
        stop = start + features.shape[1]
        values[:, start:stop] = features.numpy()
        start = stop
    values.flush()


def _joined_header(settings: Features, headers: list[dict]) -> dict:
    """As `extract` would write it of the composed network."""
    origins = [(header["weights"], header["weights_sha256"]) for header in headers]
    source, sha256 = origins[0] if len(origins) == 1 else joined_origin(origins)
    return headers[0] | {
        "backbone": settings.backbone,
        "weights": source,
        "weights_sha256": sha256,
        "cost": backbone_cost(settings.backbone, settings.resolution),
    }
