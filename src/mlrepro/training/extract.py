"""Feature extraction: outputs of a frozen backbone, pooled or whole, once for all runs that train on them."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mlrepro.data.features import open_features
from mlrepro.data.images import Pictures, normalise, picture_batches, sequential_batches
from mlrepro.data.manifest import Manifest
from mlrepro.data.shards import Shards
from mlrepro.files import write_json
from mlrepro.models.backbones import Backbone, create_backbone, map_size
from mlrepro.settings.data import Features
from mlrepro.training.checkpoint import Checkpoint, exclusive, training_code
from mlrepro.training.fit import autocast

FLUSH_EVERY = 50  # batches between two points from which an interrupted extraction goes on


def extract(settings: Features, manifest: Manifest, path: Path, device: torch.device) -> None:
    """Writes (rows, channels) float32 of all pictures to `path`: global average pooling of the backbone's feature map; with
    `settings.maps` the maps themselves, (rows, C, h, w). An interrupted extraction goes on where it stopped, if weights,
    transform, code and manifest are the same."""
    backbone, (source, sha256) = create_backbone(
        settings.backbone, settings.weights, settings.resolution
    )
    backbone = backbone.to(device, memory_format=torch.channels_last).eval()
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
    }
    name = f"extract-{path.parent.parent.name}-{path.stem}"
    with exclusive(name):
        partial = Checkpoint(name, {"header": header, "code": training_code()})
        file = _features(backbone, manifest, settings, header, partial.folder, device)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, path)
        partial.delete()


def _features(
    backbone: Backbone,
    manifest: Manifest,
    settings: Features,
    header: dict,
    folder: Path,
    device: torch.device,
) -> Path:
    """The finished file in `folder`."""
    n, done_file, file = len(manifest.frame), folder / "done.json", folder / "features.safetensors"
    done = json.loads(done_file.read_text()) if done_file.is_file() and file.is_file() else 0
    shape = (
        n,
        backbone.channels,
        *(map_size(settings.backbone, settings.resolution) if settings.maps else ()),
    )
    features = open_features(file, header, shape, resume=done > 0)
    if done:
        tqdm.write(f"resumed at picture {done} of {n}")
    batch_size = settings.batch_size or _fitting_batch(backbone, settings.resolution, device)
    rows, shards = np.arange(done, n), Shards(manifest) if "shards" in manifest.summary else None
    pictures = Pictures(manifest, rows, settings.resolution, backbone.interpolation, shards=shards)
    batches = picture_batches(pictures, sequential_batches(len(rows), batch_size), device)
    with (
        tqdm(
            total=n,
            initial=done,
            desc=f"extract {settings.backbone} {settings.resolution} px",
            unit="picture",
        ) as bar,
        torch.inference_mode(),
    ):
        for i, (batch, batch_rows) in enumerate(batches):
            batch = normalise(batch, backbone.mean, backbone.std)
            with autocast(device):
                maps = backbone(batch).float()
            features[batch_rows.numpy()] = (
                (maps if settings.maps else maps.mean((2, 3))).cpu().numpy()
            )
            bar.update(len(batch_rows))
            if i % FLUSH_EVERY == FLUSH_EVERY - 1:
                features.flush()
                write_json(done_file, done + (i + 1) * batch_size)
    return file


def _fitting_batch(backbone: Backbone, resolution: int, device: torch.device) -> int:
    """The largest power of two up to 512 whose forward pass fits half of the GPU's free memory; 32 on a CPU."""
    if device.type != "cuda":
        return 32
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.inference_mode(), autocast(device):
        backbone(torch.zeros(8, 3, resolution, resolution, device=device))
    a_picture = (torch.cuda.max_memory_allocated() - before) / 8
    fits = torch.cuda.mem_get_info()[0] / 2 / a_picture
    return int(min(512, 2 ** math.floor(math.log2(max(fits, 1)))))
