"""How long an extract stage takes on this machine, and stand-ins for what it has yet to make."""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mlrepro.data.features import features_path, start_of_features
from mlrepro.data.images import Pictures, normalise, picture_batches
from mlrepro.data.manifest import Manifest
from mlrepro.data.samplers import sequential_batches
from mlrepro.layout import Layout
from mlrepro.models.backbones import Backbone, create_backbone, map_size
from mlrepro.models.catalogue import parts_of
from mlrepro.settings.data import Features
from mlrepro.studies.features import wanted_features
from mlrepro.training.device import device
from mlrepro.training.extract import CPU_BATCH
from mlrepro.training.precision import autocast

# Seconds of pictures that each network is measured on, after a first batch that warms up.
SECONDS = 4.0


@dataclass(frozen=True)
class Extraction:
    """One file of features that the extract stage makes. channels: of a row of it."""

    features: Features
    channels: int
    seconds: float


def missing_features(layout: Layout) -> list[Features]:
    """What the extract stage makes when it runs: nothing where all features are there.

    Where some are not, it makes all of them: DVC removes a stage's outputs before it runs.
    """
    wanted = wanted_features(layout)
    if all(_path(layout.data, features).is_file() for features in wanted):
        return []
    return wanted


def measure_extraction(features: Features, manifest: Manifest) -> Extraction:
    """From the pace of the first pictures. Published features are only copied, which takes none."""
    if features.published:
        return Extraction(features, 0, 0.0)

    channels = 0
    seconds = 0.0
    parts = parts_of(features.backbone)
    for network in parts.networks:
        backbone, _ = create_backbone(network, features.weights, features.resolution)
        channels += backbone.channels
        passes = 2 if parts.mirrored else 1  # a picture and its mirror image
        seconds += passes * manifest.pictures * _pace(backbone, features.resolution, manifest)
    return Extraction(features, channels, seconds)


def _pace(backbone: Backbone, resolution: int, manifest: Manifest) -> float:
    """Seconds a picture, read and forward."""
    where = device()
    backbone = backbone.to(where, memory_format=torch.channels_last).eval()
    pictures = Pictures(manifest, np.arange(manifest.pictures), resolution, backbone.interpolation)
    batches = picture_batches(pictures, sequential_batches(manifest.pictures, CPU_BATCH), where)

    laps = []
    last = begin = time.perf_counter()
    with torch.inference_mode():
        for batch, rows in batches:
            with autocast(where):
                outputs = backbone(normalise(batch, backbone.mean, backbone.std))
            outputs.float().cpu()

            now = time.perf_counter()
            laps.append((now - last, len(rows)))
            last = now
            if now - begin > SECONDS and len(laps) > 1:
                break

    seconds, number = np.array(laps[1:] or laps).sum(0)
    return seconds / number


# ---- Stand-ins ---------------------------------------------------------------------------------


@contextmanager
def stand_ins(
    data_folder: Path, extractions: Sequence[Extraction], manifest: Manifest
) -> Iterator[Path]:
    """A folder like that of the data, where features that are yet to be extracted are zeros.

    A training takes as long on them. The files have holes, and take no room.
    """
    made = [one for one in extractions if one.channels]
    if not made:
        yield data_folder
        return

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        present = itertools.chain(data_folder.iterdir(), data_folder.glob("features/*"))
        for path in present:
            link = folder / path.relative_to(data_folder)
            if path.name != "features":
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path.absolute())
        for one in made:
            _write_zeros(_path(folder, one.features), one, manifest)
        yield folder


def _write_zeros(path: Path, extraction: Extraction, manifest: Manifest) -> None:
    features = extraction.features
    shape = (manifest.pictures, extraction.channels)
    if features.maps:
        shape = (*shape, *map_size(features.backbone, features.resolution))
    header = {
        "backbone": features.backbone,
        "weights": features.weights,
        "weights_sha256": None,
        "manifest": manifest.digest,
        "transform": {"resize": [features.resolution] * 2},
    }
    start = start_of_features(header, shape)

    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)  # a link to features that will be made again
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + 4 * int(np.prod(shape)))


def _path(data_folder: Path, features: Features) -> Path:
    return features_path(data_folder, features.backbone, features.resolution, maps=features.maps)
