"""Feature extraction: outputs of a frozen backbone, pooled or whole.

It is done once, for all runs that train on them.
"""

import math
from pathlib import Path

import numpy as np
import torch

from mlrepro import dvc
from mlrepro.code import extraction_code
from mlrepro.data.images import Pictures, normalise, picture_batches
from mlrepro.data.manifest import Manifest
from mlrepro.data.samplers import sequential_batches
from mlrepro.data.shards import ShardReader
from mlrepro.files import link_or_copy, written_whole
from mlrepro.models.backbones import Backbone, create_backbone, map_size
from mlrepro.models.complexity.parts import backbone_cost
from mlrepro.progress import progress_bar
from mlrepro.settings.data import Features
from mlrepro.training.checkpoint import Checkpoint, exclusive, remove_held
from mlrepro.training.partial_features import PartialFeatures
from mlrepro.training.precision import autocast
from mlrepro.training.watch import check_runner

# Batches between two points from which an interrupted extraction goes on.
FLUSH_EVERY = 50

CPU_BATCH = 32  # pictures
LARGEST_BATCH = 512  # pictures, however much memory is free
TRIED_BATCH = 8  # whose memory tells how large a batch may be


def extract(
    settings: Features,
    manifest: Manifest,
    path: Path,
    device: torch.device,
    flipped: bool = False,
) -> None:
    """Writes the features of all pictures, or of their mirror images, to `path`, in manifest order.

    They are float32: (rows, channels), global average pooling of the backbone's feature map; with
    `settings.maps` the maps themselves, (rows, C, h, w). An interrupted extraction goes on where it
    stopped, if weights, transform, code and manifest are the same.
    """
    backbone, (source, sha256) = create_backbone(
        settings.backbone, settings.weights, settings.resolution
    )
    # Convolutions are faster with a pixel's channels side by side.
    backbone = backbone.to(device, memory_format=torch.channels_last).eval()

    # Readers of the file compare it with what they expect, a resumed extraction with its own.
    header = {
        "backbone": settings.backbone,
        "weights": source,
        "weights_sha256": sha256,
        "transform": {
            "resize": [settings.resolution] * 2,
            "interpolation": backbone.interpolation,
            "mean": backbone.mean,
            "std": backbone.std,
        },
        "pooling": "none" if settings.maps else "average",
        "precision": "bfloat16" if device.type == "cuda" else "float32",
        "manifest": manifest.digest,
        "cost": backbone_cost(settings.backbone, settings.resolution),
    }
    if flipped:
        header["flipped"] = True

    # Made beside the checkpoints, linked when whole: DVC deletes a stage's outputs before it runs.
    name = f"extract-{path.parent.parent.name}-{path.stem}"
    runner = dvc.runner_of(path)
    with exclusive(name):
        remove_held()
        checkpoint = Checkpoint(
            name, {"header": header, "code": extraction_code([settings.backbone])}
        )
        partial = PartialFeatures(checkpoint.folder, header, _shape(settings, manifest, backbone))
        _extract_rest(partial, backbone, settings, manifest, device, runner, flipped)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            link_or_copy(partial.file, temporary)
        checkpoint.finish([path], name)


def _shape(settings: Features, manifest: Manifest, backbone: Backbone) -> tuple[int, ...]:
    shape = (manifest.pictures, backbone.channels)
    if settings.maps:
        return (*shape, *map_size(settings.backbone, settings.resolution))
    return shape


def _extract_rest(
    partial: PartialFeatures,
    backbone: Backbone,
    settings: Features,
    manifest: Manifest,
    device: torch.device,
    runner: dvc.Runner | None,
    flipped: bool,
) -> None:
    """Writes the rows that are not written yet."""
    if partial.done == partial.total:
        return
    rows = np.arange(partial.done, partial.total)
    shards = ShardReader(manifest) if "shards" in manifest.summary else None
    pictures = Pictures(manifest, rows, settings.resolution, backbone.interpolation, shards=shards)
    batch_size = settings.batch_size or _fitting_batch(backbone, settings.resolution, device)
    batches = picture_batches(pictures, sequential_batches(len(rows), batch_size), device)

    shown = f"extract {settings.backbone} {settings.resolution} px"
    with (
        progress_bar(total=partial.total, initial=partial.done, desc=shown, unit="picture") as bar,
        torch.inference_mode(),
    ):
        for number, (batch, batch_rows) in enumerate(batches, 1):
            batch = normalise(batch, backbone.mean, backbone.std)
            if flipped:
                batch = batch.flip(3)  # (B, C, H, W): left and right change places
            with autocast(device):
                outputs = backbone(batch).float()
            if not settings.maps:
                outputs = outputs.mean((2, 3))
            partial.values[batch_rows.numpy()] = outputs.cpu().numpy()

            bar.update(len(batch_rows))
            if number % FLUSH_EVERY == 0:
                partial.note_rows(int(batch_rows[-1]) + 1)
                check_runner(runner, f"it ends at picture {partial.done}")
    partial.note_rows(partial.total)


def _fitting_batch(backbone: Backbone, resolution: int, device: torch.device) -> int:
    """The largest power of two whose forward pass fits half of the GPU's free memory.

    At most LARGEST_BATCH; CPU_BATCH on a CPU.
    """
    if device.type != "cuda":
        return CPU_BATCH

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.inference_mode(), autocast(device):
        backbone(torch.zeros(TRIED_BATCH, 3, resolution, resolution, device=device))
    bytes_a_picture = (torch.cuda.max_memory_allocated() - before) / TRIED_BATCH

    free, _ = torch.cuda.mem_get_info()
    fits = max(free / 2 / bytes_a_picture, 1)
    return min(LARGEST_BATCH, 2 ** math.floor(math.log2(fits)))
