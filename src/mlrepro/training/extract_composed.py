"""Features of composed backbones, put together from those of their networks.

Networks side by side give the columns side by side, a mirrored one the mean of the features of the
picture and of its mirror image. So a pipeline that compares a network, several of them and their
mirrored form computes each network once, and once on mirror images.
"""

from pathlib import Path

import torch
from torch import Tensor

from mlrepro.data.features import features_path, open_features, read_features
from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.models.catalogue import parts_of
from mlrepro.models.complexity.parts import backbone_cost
from mlrepro.models.pretrained import joined_origin
from mlrepro.settings.data import Features
from mlrepro.training.extract import extract

# What the file of a network's features of mirror images has behind the network's name.
FLIPPED = "_flipped"


def extract_pooled(
    settings: Features, manifest: Manifest, data_folder: Path, device: torch.device
) -> None:
    """Writes the pooled features of any backbone to their place below `data_folder`.

    Those of the networks that it is composed of are computed where they are not there yet, and
    stay.
    """
    networks, mirrored = parts_of(settings.backbone)
    ways = (False, True) if mirrored else (False,)
    columns = []
    headers = []
    for network in networks:
        of_network = settings.model_copy(update={"backbone": network})
        read = [_one_network(of_network, manifest, data_folder, device, way) for way in ways]
        columns.append([features.numpy() for features, _ in read])
        headers.append(read[0][1])
    if not parts_of(settings.backbone).composed:
        return

    path = features_path(data_folder, settings.backbone, settings.resolution)
    width = sum(of_network[0].shape[1] for of_network in columns)
    values = open_features(path, _joined_header(settings, headers), (manifest.pictures, width))
    start = 0
    for of_network in columns:
        stop = start + of_network[0].shape[1]
        values[:, start:stop] = sum(of_network) / len(of_network)
        start = stop
    values.flush()


def _one_network(
    settings: Features,
    manifest: Manifest,
    data_folder: Path,
    device: torch.device,
    flipped: bool,
) -> tuple[Tensor, dict]:
    """One network's features and their header; made where they are not there, or are of others."""
    named = settings.backbone + (FLIPPED if flipped else "")
    path = features_path(data_folder, named, settings.resolution)
    try:
        return read_features(path, manifest, settings.backbone, settings.resolution)
    except InputError:
        extract(settings, manifest, path, device, flipped)
    return read_features(path, manifest, settings.backbone, settings.resolution)


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

