"""Pictures as tensors: decode, resize, augment. Every picture's augmentation follows from (seed, epoch, row) alone, so that
neither the number of workers nor an interruption changes it."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError

INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def decode(path: os.PathLike, resolution: int, interpolation: str = "bilinear") -> np.ndarray:
    """An RGB picture (S, S, 3) uint8, resized without keeping its aspect ratio (Cole et al. 2021, as Query2Label and AAM)."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except OSError as error:
        raise InputError(f"{path}: not readable ({error}); run its prepare stage again (dvc repro -f -s)") from None
    return np.asarray(picture.resize((resolution, resolution), INTERPOLATION[interpolation]))


class Pictures(Dataset):
    """Item i: (uint8 (3, S, S), row) of `rows[i]`. `flip`: mirrored with probability 0.5, drawn from (seed, epoch, row)."""

    def __init__(self, manifest: Manifest, rows: np.ndarray, resolution: int, interpolation: str, flip: bool = False,
                 seed: int = 0, epoch: int = 0):
        self.paths = manifest.frame["image"].to_numpy()
        self.root, self.rows = manifest.root, rows
        self.resolution, self.interpolation = resolution, interpolation
        self.flip, self.seed, self.epoch = flip, seed, epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        row = int(self.rows[i])
        picture = decode(self.root / self.paths[row], self.resolution, self.interpolation)
        if self.flip and np.random.default_rng([self.seed, self.epoch, row]).random() < 0.5:
            picture = picture[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))), row


def picture_batches(pictures: Pictures, batches: list[np.ndarray], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (uint8 (B, 3, S, S) on `device`, manifest rows (B,)) for the given positions."""
    cuda = device.type == "cuda"
    workers = min(16, os.cpu_count() or 1) if cuda else 0  # on a CPU, workers would take the model's cores
    loader = DataLoader(pictures, batch_sampler=batches, num_workers=workers, pin_memory=cuda)
    for batch, rows in loader:
        yield batch.to(device, non_blocking=True), rows


def normalise(batch: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, 3, S, S) to float32: (x / 255 - mean) / std."""
    mean_, std_ = (torch.tensor(v, device=batch.device).view(3, 1, 1) for v in (mean, std))
    return (batch.float() / 255 - mean_) / std_


def sequential_batches(n: int, batch_size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]


def shuffled_batches(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Positions of one training epoch: a permutation from (seed, epoch); an incomplete last batch is left out."""
    order = np.random.default_rng([seed, epoch]).permutation(n)
    full = [order[start:start + batch_size] for start in range(0, n - batch_size + 1, batch_size)]
    return full or [order]
