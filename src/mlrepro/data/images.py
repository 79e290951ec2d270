"""Pictures as tensors: decode, resize, augment. Every picture's augmentation follows from (seed, epoch, row) alone, and from how
often the epoch drew it before, so that neither the number of workers nor an interruption changes it."""

import os
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset

from mlrepro.data.augment import RECIPES, kernels
from mlrepro.data.manifest import Manifest
from mlrepro.data.shards import Shards
from mlrepro.errors import InputError

NORMALISATION = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # mean, std
    "half": ((0.5,) * 3, (0.5,) * 3),
    "unit": ((0.0,) * 3, (1.0,) * 3),
}
MIXED = 16  # shards whose pictures one stretch of an epoch is drawn from


def decode(
    path: os.PathLike,
    resolution: int,
    interpolation: str = "bilinear",
    fast: ModuleType | None = None,
) -> np.ndarray:
    """RGB uint8 (S, S, 3), resized without keeping its aspect ratio (Cole et al. 2021, as Query2Label and AAM); path may be
    an open file. As by their code, EXIF rotation is ignored, and an animation is its first frame. interpolation: bilinear or
    bicubic, both antialiased as Pillow and torchvision do, or cv2 (see `resize_cv2`). fast: `kernels`, of the same pixels."""
    method = None if interpolation == "cv2" else Image.Resampling[interpolation.upper()]
    try:
        with Image.open(path) as image:
            if image.mode == "F":
                raise OSError(
                    "floating-point pixels, whose range is not known; save it with 8 or 16 bits"
                )
            if image.mode.startswith(
                "I"
            ):  # 16-bit grey: Pillow's own conversion turns all values above 255 into white
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            if fast and method:
                return fast.resize(fast.read(image), resolution, method)
            picture = image.convert("RGB")
    except OSError as error:
        raise InputError(
            f"{path}: not readable ({error}); run its prepare stage again (dvc repro -f -s)"
        ) from None
    return (
        np.array(picture.resize((resolution, resolution), method))
        if method
        else resize_cv2(np.array(picture), resolution)
    )


def resize_cv2(picture: np.ndarray, resolution: int) -> np.ndarray:
    """(h, w, 3) to (S, S, 3) uint8 as cv2.resize INTER_LINEAR does: half-pixel centres, edges repeated, no antialiasing. cv2
    computes in fixed point (11 bits a weight, truncated between the passes) what is float32 here: they differ by 1 at most."""
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    resized = interpolate(
        planes, size=(resolution, resolution), mode="bilinear", align_corners=False
    )
    return (resized[0] + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()  # the conversion truncates


class Pictures(Dataset):
    """Item i: (uint8 (S, S, 3), row) of `rows[i]`. `augment`: one of augment.RECIPES, drawn from (seed, epoch, row); of a row
    that `rows` holds again, another draw each time. `shards`: where the pictures are read from; none: from their files."""

    def __init__(
        self,
        manifest: Manifest,
        rows: np.ndarray,
        resolution: int,
        interpolation: str,
        augment: str = "none",
        seed: int = 0,
        epoch: int = 0,
        shards: Shards | None = None,
    ):
        self.images, self.root, self.rows, self.shards = (
            manifest.frame["image"].array,
            manifest.root,
            rows,
            shards,
        )
        self.resolution, self.interpolation = resolution, interpolation
        self.augment, self.seed, self.epoch = augment, seed, epoch
        kernels(resolution)  # before the workers are forked, which so share them
        self.repeats = (
            pd.Series(rows).groupby(rows).cumcount().to_numpy()
        )  # how often `rows` held it before

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        row = int(self.rows[i])
        source = self.shards.read(row) if self.shards else self.root / self.images[row]
        pixels = decode(source, self.resolution, self.interpolation, kernels(self.resolution))
        if self.augment != "none":
            again = [int(self.repeats[i])] if self.repeats[i] else []
            rng = np.random.default_rng([self.seed, self.epoch, row, *again])
            pixels = np.array(RECIPES[self.augment](Image.fromarray(pixels), rng))
        return torch.from_numpy(pixels), row


def picture_batches(
    pictures: Pictures, batches: list[np.ndarray], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (uint8 (B, 3, S, S), channels last, on `device`, manifest rows (B,)) for the given positions."""
    cuda = device.type == "cuda"
    cores = (
        (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if cuda else 0
    )  # of a CPU, the model needs them
    loader = DataLoader(
        pictures, batch_sampler=batches, num_workers=min(16, cores), pin_memory=cuda
    )
    for batch, rows in loader:
        yield batch.to(device, non_blocking=True).permute(0, 3, 1, 2), rows


def normalise(batch: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, 3, S, S) to float32, channels last: (x / 255 - mean) / std."""
    pixels = batch.permute(0, 2, 3, 1)
    rows = pixels.flatten(
        2
    )  # (B, S, 3 S): a long last dimension is several times faster than one of 3
    mean_, std_ = (
        torch.tensor(v, device=batch.device).repeat(pixels.shape[2]) for v in (mean, std)
    )
    out = torch.empty(rows.shape, device=batch.device)
    at_once = len(batch) if batch.is_cuda else 1  # one picture stays in a CPU's cache
    for part, done in zip(rows.split(at_once), out.split(at_once), strict=True):
        torch.div(part, 255, out=done).sub_(mean_).div_(std_)
    return out.view(pixels.shape).permute(0, 3, 1, 2)


def sequential_batches(n: int, batch_size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]


def shuffled_batches(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Positions of one training epoch: a permutation from (seed, epoch); an incomplete last batch is left out."""
    return _full_batches(np.random.default_rng([seed, epoch]).permutation(n), batch_size)


def shard_batches(
    n: int, batch_size: int, seed: int, epoch: int, *, shards: np.ndarray
) -> list[np.ndarray]:
    """Positions of one training epoch that wants shard after shard: these in an order, and their pictures mixed with those of the
    MIXED - 1 before and after, that follow from (seed, epoch). shards: (N,) the number of each position's, consecutive ones. An
    incomplete last batch is left out."""
    random, first = np.random.default_rng([seed, epoch]), shards.min()
    place = random.permutation(shards.max() - first + 1)[shards - first]
    return _full_batches(np.argsort(place + random.uniform(0, MIXED, n), kind="stable"), batch_size)


def class_uniform_batches(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    positives: tuple[np.ndarray, np.ndarray],
    classes: Sequence[str],
) -> list[np.ndarray]:
    """Positions of one training epoch other than a permutation: N times a class, then one of its positives, both uniformly and
    with replacement (001).

    positives: position and class index of each label, by position, as np.nonzero gives them. A picture with the classes y is
    drawn N sum_{c in y} 1 / (K n_c) times on average, n_c being the positives of class c; one without positives never is. All
    draws follow from (seed, epoch). An incomplete last batch is left out. InputError names a class that has no positive.
    """
    pictures, columns = positives
    counts = np.bincount(columns, minlength=len(classes))
    if not counts.all():
        raise InputError(
            f"sampler: class_uniform can never draw {classes[int(np.argmin(counts))]!r}, which no training picture "
            f"shows; leave the class out of the data set's `classes`, or say `sampler: uniform`"
        )
    by_class = np.argsort(
        columns.astype(np.min_scalar_type(len(classes))), kind="stable"
    )  # linear in 16 bits
    random = np.random.default_rng([seed, epoch])
    drawn = random.integers(len(classes), size=n)
    order = pictures[by_class[(counts.cumsum() - counts)[drawn] + random.integers(counts[drawn])]]
    return _full_batches(order, batch_size)


def _full_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return [
        order[start : start + batch_size]
        for start in range(0, len(order) - batch_size + 1, batch_size)
    ] or [order]
