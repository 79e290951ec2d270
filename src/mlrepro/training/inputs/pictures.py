"""Pictures read from files or shards, alone or with the vectors of their captions."""

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.images import NORMALISATION, Augmentation, Pictures, normalise, picture_batches
from mlrepro.data.manifest import Manifest
from mlrepro.data.samplers import sequential_batches, shuffled_batches
from mlrepro.data.shards import ShardReader
from mlrepro.settings.run import Run
from mlrepro.training.distributed import share
from mlrepro.training.inputs import EVALUATION_BATCH, Batches, Sampler


class PictureInputs:
    """Batches of normalised pictures (B, 3, S, S).

    They are resized and normalised as the run says, in training augmented too. vectors: of all rows
    of the manifest; a batch then is a pair: pictures, vectors (B, width). backbone: what says which
    interpolation, mean and std it was trained with. batch_size: that of `sequential`.
    """

    def __init__(
        self,
        manifest: Manifest,
        run: Run,
        backbone,
        device: torch.device,
        vectors: Tensor | None = None,
        draw: Sampler = shuffled_batches,
        batch_size: int = EVALUATION_BATCH,
    ):
        self.manifest = manifest
        self.device = device
        self.vectors = vectors
        self.draw = draw
        self.batch_size = batch_size
        self.shards = ShardReader(manifest) if "shards" in manifest.summary else None

        self.resolution = run.resolution
        self.augment = run.augment
        self.interpolation = backbone.interpolation if run.resize == "backbone" else run.resize
        of_backbone = (backbone.mean, backbone.std)
        self.mean, self.std = NORMALISATION.get(run.normalise, of_backbone)

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Batches:
        batches = self.draw(len(rows), batch_size, seed, epoch)
        # All pictures of the epoch in the order of the batches, for a row that is drawn again is
        # augmented by another draw: whichever process reads it, its count must be the same.
        drawn = rows[np.concatenate(batches)]
        pictures = self._pictures(drawn, (seed, epoch))

        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        positions = np.split(np.arange(len(drawn)), ends)
        return self._read(pictures, share(positions))

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Batches:
        """Every row once, in order.

        augmented: (seed, epoch) whose training pictures are wanted, the same that `shuffled` gives;
        none: as they are.
        """
        pictures = self._pictures(rows, augmented)
        return self._read(pictures, sequential_batches(len(rows), self.batch_size))

    def _pictures(self, rows: np.ndarray, augmented: tuple[int, int] | None) -> Pictures:
        augmentation = None
        if augmented and self.augment != "none":
            seed, epoch = augmented
            augmentation = Augmentation(self.augment, seed, epoch)
        return Pictures(
            self.manifest,
            rows,
            self.resolution,
            self.interpolation,
            augmentation,
            self.shards,
        )

    def _read(self, pictures: Pictures, batches: list[np.ndarray]) -> Batches:
        for pixels, rows in picture_batches(pictures, batches, self.device):
            batch = normalise(pixels, self.mean, self.std)
            if self.vectors is None:
                yield batch, rows
            else:
                yield (batch, self.vectors[rows].to(self.device)), rows
