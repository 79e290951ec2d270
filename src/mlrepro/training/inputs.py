"""What a network is fed: rows of extracted features held in memory, or pictures read from disk. Both have one interface."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.images import Pictures, normalise, picture_batches, sequential_batches, shuffled_batches
from mlrepro.data.manifest import Manifest

EVALUATION_BATCH = 64


class FeatureInputs:
    """Batches of features (B, channels); `features` (rows of the manifest, channels)."""

    def __init__(self, features: Tensor, device: torch.device):
        self.features = features.to(device)

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for positions in shuffled_batches(len(rows), batch_size, seed, epoch):
            batch = torch.from_numpy(rows[positions])
            yield self.features[batch.to(self.features.device)], batch

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        for positions in sequential_batches(len(rows), 4096):
            batch = torch.from_numpy(rows[positions])
            yield self.features[batch.to(self.features.device)], batch


class PictureInputs:
    """Batches of normalised pictures (B, 3, S, S), mirrored at random in training when `flip`."""

    def __init__(self, manifest: Manifest, resolution: int, backbone, flip: bool, device: torch.device):
        self.manifest, self.resolution, self.flip, self.device = manifest, resolution, flip, device
        self.mean, self.std, self.interpolation = backbone.mean, backbone.std, backbone.interpolation

    def _batches(self, pictures: Pictures, batches: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch, rows in picture_batches(pictures, batches, self.device):
            yield normalise(batch, self.mean, self.std).contiguous(memory_format=torch.channels_last), rows

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        pictures = Pictures(self.manifest, rows, self.resolution, self.interpolation, self.flip, seed, epoch)
        return self._batches(pictures, shuffled_batches(len(rows), batch_size, seed, epoch))

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """`augmented`: (seed, epoch) whose mirrored pictures are wanted; none: pictures as they are."""
        seed, epoch = augmented or (0, 0)
        flip = self.flip and augmented is not None
        pictures = Pictures(self.manifest, rows, self.resolution, self.interpolation, flip, seed, epoch)
        return self._batches(pictures, sequential_batches(len(rows), EVALUATION_BATCH))
