"""Rows of extracted features, of feature maps, or of captions' vectors."""

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.samplers import sequential_batches, shuffled_batches
from mlrepro.training.distributed import share
from mlrepro.training.inputs import EVALUATION_BATCH, Batches, Sampler

# Pooled features are small: so many are scored at once.
POOLED_BATCH = 4096


class FeatureInputs:
    """Batches of features (B, channels) or maps (B, C, h, w).

    features: those of all rows of the manifest. Maps may be larger than any memory: they stay in
    their file, from which each batch is read.
    """

    def __init__(self, features: Tensor, device: torch.device, draw: Sampler = shuffled_batches):
        self.maps = features.ndim == 4
        self.features = features if self.maps else features.to(device)
        self.device = device
        self.draw = draw

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Batches:
        batches = self.draw(len(rows), batch_size, seed, epoch)
        return self._read(rows, share(batches))

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Batches:
        """Every row once, in order. Features are never augmented."""
        batch_size = EVALUATION_BATCH if self.maps else POOLED_BATCH
        return self._read(rows, sequential_batches(len(rows), batch_size))

    def _read(self, rows: np.ndarray, batches: list[np.ndarray]) -> Batches:
        for positions in batches:
            batch_rows = torch.from_numpy(rows[positions])
            batch = self.features[batch_rows.to(self.features.device)]
            yield batch.to(self.device), batch_rows
