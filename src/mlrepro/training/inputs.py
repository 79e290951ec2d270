"""What a network is fed: rows of extracted features, or pictures read from files or shards. Both have one interface."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.images import (
    NORMALISATION,
    Pictures,
    normalise,
    picture_batches,
    sequential_batches,
    shuffled_batches,
)
from mlrepro.data.manifest import Manifest
from mlrepro.data.shards import Shards
from mlrepro.settings.run import Run
from mlrepro.training.distributed import share

EVALUATION_BATCH = 64


class FeatureInputs:
    """Batches of features (B, channels) or maps (B, C, h, w); `features`: the same of all rows of the manifest. Maps may be
    larger than any memory: they stay in their file, from which each batch is read."""

    def __init__(self, features: Tensor, device: torch.device):
        self.maps, self.device, self.draw = (
            features.ndim == 4,
            device,
            shuffled_batches,
        )  # draw: of an epoch's batches
        self.features = features if self.maps else features.to(device)

    def _batches(
        self, rows: np.ndarray, batches: list[np.ndarray]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for positions in batches:
            batch = torch.from_numpy(rows[positions])
            yield self.features[batch.to(self.features.device)].to(self.device), batch

    def shuffled(
        self, rows: np.ndarray, batch_size: int, seed: int, epoch: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches(rows, share(self.draw(len(rows), batch_size, seed, epoch)))

    def sequential(
        self, rows: np.ndarray, augmented: tuple[int, int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches(
            rows, sequential_batches(len(rows), EVALUATION_BATCH if self.maps else 4096)
        )


class PictureInputs:
    """Batches of normalised pictures (B, 3, S, S): resized and normalised as the run says, in training augmented too.
    With `vectors` of all rows of the manifest, a batch is a pair: pictures, vectors (B, width)."""

    def __init__(
        self,
        manifest: Manifest,
        run: Run,
        backbone,
        device: torch.device,
        vectors: Tensor | None = None,
    ):
        self.manifest, self.resolution, self.augment, self.device = (
            manifest,
            run.resolution,
            run.augment,
            device,
        )
        self.interpolation = backbone.interpolation if run.resize == "backbone" else run.resize
        self.mean, self.std = NORMALISATION.get(run.normalise, (backbone.mean, backbone.std))
        self.batch_size, self.draw = (
            EVALUATION_BATCH,
            shuffled_batches,
        )  # of `sequential`; of an epoch's batches
        self.vectors, self.shards = (
            vectors,
            Shards(manifest) if "shards" in manifest.summary else None,
        )

    def _batches(
        self, pictures: Pictures, batches: list[np.ndarray]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for batch, rows in picture_batches(pictures, batches, self.device):
            batch = normalise(batch, self.mean, self.std)
            yield (
                batch if self.vectors is None else (batch, self.vectors[rows].to(self.device)),
                rows,
            )

    def shuffled(
        self, rows: np.ndarray, batch_size: int, seed: int, epoch: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        batches = self.draw(len(rows), batch_size, seed, epoch)
        drawn = rows[np.concatenate(batches)]
        pictures = Pictures(
            self.manifest,
            drawn,
            self.resolution,
            self.interpolation,
            self.augment,
            seed,
            epoch,
            self.shards,
        )
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return self._batches(pictures, share(np.split(np.arange(len(drawn)), ends)))

    def sequential(
        self, rows: np.ndarray, augmented: tuple[int, int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """`augmented`: (seed, epoch) whose training pictures are wanted, the same that `shuffled` gives; none: as they are."""
        recipe = self.augment if augmented else "none"
        pictures = Pictures(
            self.manifest,
            rows,
            self.resolution,
            self.interpolation,
            recipe,
            *(augmented or (0, 0)),
            self.shards,
        )
        return self._batches(pictures, sequential_batches(len(rows), self.batch_size))
