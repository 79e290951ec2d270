"""What a network is fed: rows of extracted features held in memory, or pictures read from disk. Both have one interface."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mlrepro.config import Run
from mlrepro.data.images import NORMALISATION, Pictures, normalise, picture_batches, sequential_batches, shuffled_batches
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
    """Batches of normalised pictures (B, 3, S, S): resized and normalised as the run says, in training augmented too."""

    def __init__(self, manifest: Manifest, run: Run, backbone, device: torch.device):
        self.manifest, self.resolution, self.augment, self.device = manifest, run.resolution, run.augment, device
        self.interpolation = backbone.interpolation if run.resize == "backbone" else run.resize
        self.mean, self.std = NORMALISATION.get(run.normalise, (backbone.mean, backbone.std))

    def _batches(self, pictures: Pictures, batches: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch, rows in picture_batches(pictures, batches, self.device):
            yield normalise(batch, self.mean, self.std).contiguous(memory_format=torch.channels_last), rows

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        pictures = Pictures(self.manifest, rows, self.resolution, self.interpolation, self.augment, seed, epoch)
        return self._batches(pictures, shuffled_batches(len(rows), batch_size, seed, epoch))

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """`augmented`: (seed, epoch) whose training pictures are wanted, the same that `shuffled` gives; none: as they are."""
        augment = self.augment if augmented else "none"
        pictures = Pictures(self.manifest, rows, self.resolution, self.interpolation, augment, *(augmented or (0, 0)))
        return self._batches(pictures, sequential_batches(len(rows), EVALUATION_BATCH))
