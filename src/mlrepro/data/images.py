"""Pictures as tensors: decode, resize, augment, normalise.

Every picture's augmentation follows from (seed, epoch, row) alone, and from how often the epoch
drew it before, so that neither the number of workers nor an interruption changes it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset

from mlrepro.cores import usable_processors
from mlrepro.data.appearance import UPRIGHT, Appearance, flat, orientation, turned
from mlrepro.data.augment import find_recipe
from mlrepro.data.fast import fast_kernels
from mlrepro.data.manifest import Manifest
from mlrepro.data.picture_formats import open_picture
from mlrepro.data.picture_names import picture_file
from mlrepro.data.shards import ShardReader
from mlrepro.errors import InputError

# Mean and standard deviation of each channel, of pixels between 0 and 1.
NORMALISATION = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
MOST_WORKERS = 16


# --- one picture ---------------------------------------------------------------------------------


def decode(
    path: os.PathLike,
    resolution: int,
    interpolation: str = "bilinear",
    fast: ModuleType | None = None,
    appearance: Appearance = "stored",
) -> np.ndarray:
    """RGB uint8 (S, S, 3), resized without keeping its aspect ratio.

    So do Cole et al. 2021, Query2Label and AAM. As by their code, an animation is its first frame.

    path: may be an open file. interpolation: `bilinear` or `bicubic`, both antialiased as Pillow
    and torchvision do, or `cv2` (see `resize_cv2`). fast: the module `data.kernels`, which gives
    the same pixels. appearance: see `data.appearance`. Raises InputError for a file that is not
    readable.
    """
    method = None if interpolation == "cv2" else Image.Resampling[interpolation.upper()]
    try:
        with open_picture(path) as image:
            turn = orientation(image, appearance)
            image = flat(image, appearance)
            # cv2's arithmetic is another: the kernels have no part in it.
            if fast and method:
                return fast.resize(turned(fast.read(image), turn), resolution, method)
            picture = image.convert("RGB")
    except OSError as error:
        raise InputError(
            f"{path}: not readable ({error}); run its prepare stage again (dvc repro -f -s)"
        ) from None

    if method is None:
        return resize_cv2(turned(np.array(picture), turn), resolution)
    if turn != UPRIGHT:
        picture = Image.fromarray(turned(np.asarray(picture), turn))
    return np.array(picture.resize((resolution, resolution), method))


def resize_cv2(picture: np.ndarray, resolution: int) -> np.ndarray:
    """(h, w, 3) to (S, S, 3) uint8 as cv2.resize INTER_LINEAR does.

    Half-pixel centres, edges repeated, no antialiasing. cv2 computes in fixed point (11 bits a
    weight, truncated between the passes) what is float32 here: they differ by 1 at most.
    """
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    size = (resolution, resolution)
    resized = interpolate(planes, size=size, mode="bilinear", align_corners=False)[0]
    rounded = (resized + 0.5).to(torch.uint8)  # the conversion truncates
    return rounded.permute(1, 2, 0).numpy()


# --- many pictures -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Augmentation:
    """A recipe by its name, and what its draws follow from beside the row of the picture."""

    recipe: str
    seed: int
    epoch: int


class Pictures(Dataset):
    """Item i: (uint8 (S, S, 3), row) of `rows[i]`.

    augmentation: none leaves the pictures as they are. A row that `rows` holds again is augmented
    by another draw each time. shards: where the pictures are read from; none: from their files.
    """

    def __init__(
        self,
        manifest: Manifest,
        rows: np.ndarray,
        resolution: int,
        interpolation: str,
        augmentation: Augmentation | None = None,
        shards: ShardReader | None = None,
    ):
        self.images = manifest.frame["image"].array
        self.root = manifest.root
        self.appearance = manifest.appearance
        self.rows = rows
        self.shards = shards
        self.resolution = resolution
        self.interpolation = interpolation

        # What is imported here is shared by the workers, which are forked later.
        fast_kernels(resolution)
        self.augmentation = augmentation
        self.recipe = find_recipe(augmentation.recipe) if augmentation else None

        # How often `rows` held the row of each item before.
        self.repeats = pandas.Series(rows).groupby(rows).cumcount().to_numpy()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        row = int(self.rows[i])
        if self.shards:
            source = self.shards.read(row)
        else:
            source = picture_file(self.root, self.images[row])

        kernels = fast_kernels(self.resolution)
        pixels = decode(source, self.resolution, self.interpolation, kernels, self.appearance)
        if self.recipe:
            augmented = self.recipe(Image.fromarray(pixels), self._draws(i, row))
            pixels = np.array(augmented)
        return torch.from_numpy(pixels), row

    def _draws(self, i: int, row: int) -> np.random.Generator:
        # A row's first draw does not depend on the others in `rows`.
        numbers = [self.augmentation.seed, self.augmentation.epoch, row]
        if self.repeats[i]:
            numbers.append(int(self.repeats[i]))
        return np.random.default_rng(numbers)


def picture_batches(
    pictures: Pictures, batches: list[np.ndarray], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the given positions, in their order.

    Yields uint8 (B, 3, S, S), channels last, on `device`, and manifest rows (B,).
    """
    cuda = device.type == "cuda"
    workers = 0  # on a CPU, the model needs the cores
    if cuda:
        # torchrun starts a process a GPU, which share the cores.
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        workers = min(MOST_WORKERS, usable_processors() // processes)

    # Pinned memory is copied to a GPU while it computes.
    loader = DataLoader(pictures, batch_sampler=batches, num_workers=workers, pin_memory=cuda)
    for batch, rows in loader:
        # As the pictures lie in memory, (B, S, S, 3), but addressed as (B, 3, S, S).
        yield batch.to(device, non_blocking=True).permute(0, 3, 1, 2), rows


def normalise(batch: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, 3, S, S) to float32, channels last: (x / 255 - mean) / std."""
    pixels = batch.permute(0, 2, 3, 1)
    side = pixels.shape[2]

    # (B, S, 3 S): a long last dimension is several times faster than one of 3.
    lines = pixels.flatten(2)
    mean_of_line = torch.tensor(mean, device=batch.device).repeat(side)
    std_of_line = torch.tensor(std, device=batch.device).repeat(side)
    normalised = torch.empty(lines.shape, device=batch.device)

    at_once = len(batch) if batch.is_cuda else 1  # one picture stays in a CPU's cache
    for source, target in zip(lines.split(at_once), normalised.split(at_once), strict=True):
        torch.div(source, 255, out=target).sub_(mean_of_line).div_(std_of_line)
    return normalised.view(pixels.shape).permute(0, 3, 1, 2)
