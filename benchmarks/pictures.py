"""JPEG files to normalised tensors, on one core, against torchvision's PIL pipeline.

    python benchmarks/pictures.py

Both deliver batches of 32 float32 tensors of 448 px through a DataLoader without workers, each in a
process of its own with one thread, in turn. The usual way is torchvision's Resize (antialiased),
ToTensor and Normalize on PIL pictures with the default collate. The package decodes with
libjpeg-turbo and resizes by compiled code with Pillow's arithmetic, so that the pixels are the
same; it collates bytes and normalises in the processor's cache. Pictures: a VOC2012 archive or
folder if there is one, and generated ones of VOC's true size.

With augmentation (AAM's RandAugment and cutout), the usual way runs the same recipe with the same
draws between Resize and ToTensor, all by Pillow (equal pixels), and once torchvision's own
RandAugment and a square hole (other pixels, so no difference is stated).
`torchvision's tensors` is what its JPEG decoder and its resize of uint8 tensors would give: faster,
but not the same pixels.
"""

import multiprocessing
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from common import compare, parser, timed, write
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "voc2012-animals"
BATCH = 32
SEED = 0
RECIPE = "aam"
CPU = torch.device("cpu")

# Of ImageNet's normalisation: times 255, back to grey values.
STD = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)


# --- files ---------------------------------------------------------------------------------------


def generate(folder: Path, count: int, width: int = 500, height: int = 375) -> list[str]:
    """JPEG files of smooth noise, which compress as photos do."""
    random = np.random.default_rng(0)
    coarse = (height // 8, width // 8, 3)
    for i in range(count):
        noise = random.integers(0, 256, coarse, dtype=np.uint8)
        picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        picture.save(folder / f"{i:04d}.jpg", quality=92)
    return jpeg_files(folder)


def real(source: Path, folder: Path, count: int) -> list[str]:
    """The first `count` JPEG files of a folder, or of the archives in it; none where it is absent.

    folder: where archives are extracted to.
    """
    files = jpeg_files(source)[:count]
    if files:
        return files
    for archive in sorted(source.glob("*.tar")):
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.name.endswith(".jpg")]
            tar.extractall(folder, members[:count], filter="data")
        files = jpeg_files(folder)
    return files


def jpeg_files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


# --- two ways ------------------------------------------------------------------------------------


def our_batches(files: list[str], resolution: int, transform: str) -> Iterator[torch.Tensor]:
    """float32 (B, 3, S, S) by the package. transform: the name of a recipe, or `none`."""
    import pandas

    from mlrepro.data.images import (
        NORMALISATION,
        Augmentation,
        Pictures,
        normalise,
        picture_batches,
    )
    from mlrepro.data.manifest import Manifest
    from mlrepro.data.samplers import sequential_batches

    manifest = Manifest.of_frame(pandas.DataFrame({"image": files}), [], Path(), {}, "")
    augmentation = None if transform == "none" else Augmentation(transform, SEED, epoch=0)
    pictures = Pictures(manifest, np.arange(len(files)), resolution, "bilinear", augmentation)
    batches = sequential_batches(len(files), BATCH)
    for batch, _ in picture_batches(pictures, batches, CPU):
        yield normalise(batch, *NORMALISATION["imagenet"])


def usual_batches(files: list[str], resolution: int, transform: str) -> Iterator[torch.Tensor]:
    """float32 (B, 3, S, S): the way of torchvision's own examples.

    transform: as ours, or `randaugment` (torchvision's own), or `tensors` (without PIL).
    """
    from torch.utils.data import DataLoader, Dataset

    if transform == "tensors":
        load = tensor_loader(resolution)
    else:
        load = pil_loader(resolution, transform)

    class Files(Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, i: int) -> torch.Tensor:
            return load(files[i], i)

    yield from DataLoader(Files(), BATCH)


def pil_loader(resolution: int, transform: str) -> Callable[[str, int], torch.Tensor]:
    """From a file and its number to (3, S, S), by PIL and torchvision's transforms."""
    from torchvision import transforms

    from mlrepro.data.augment import find_recipe
    from mlrepro.data.images import NORMALISATION

    resize = transforms.Resize((resolution, resolution))
    to_tensor = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(*NORMALISATION["imagenet"])]
    )
    before = transforms.Compose([])
    after = transforms.Compose([])
    recipe = None
    if transform == "randaugment":
        before = transforms.Compose([transforms.RandAugment(), transforms.RandomHorizontalFlip()])
        after = transforms.RandomErasing(0.5, scale=(0.16, 0.16), ratio=(1, 1))
    elif transform != "none":
        recipe = find_recipe(transform)

    def load(file: str, i: int) -> torch.Tensor:
        with Image.open(file) as image:
            picture = resize(image.convert("RGB"))
        if recipe:
            picture = recipe(picture, np.random.default_rng([SEED, 0, i]))
        return after(to_tensor(before(picture)))

    return load


def tensor_loader(resolution: int) -> Callable[[str, int], torch.Tensor]:
    """From a file and its number to (3, S, S), by torchvision's JPEG decoder and tensors."""
    from torchvision import io
    from torchvision.transforms.v2 import functional

    from mlrepro.data.images import NORMALISATION

    def load(file: str, i: int) -> torch.Tensor:
        picture = io.decode_jpeg(io.read_file(file), mode=io.ImageReadMode.RGB)
        picture = functional.resize(picture, [resolution, resolution], antialias=True)
        picture = functional.to_dtype(picture, torch.float32, scale=True)
        return functional.normalize(picture, *NORMALISATION["imagenet"])

    return load


# --- a process for each --------------------------------------------------------------------------

# What the package asks for, and the usual way does not: of torch large pages, of Pillow to keep
# memory.
MEMORY = {
    "ours": {"THP_MEM_ALLOC_ENABLE": "1", "PILLOW_BLOCKS_MAX": "8"},
    "usual": {"THP_MEM_ALLOC_ENABLE": "0", "PILLOW_BLOCKS_MAX": "0"},
}


class Server:
    """One way of reading the files, in a process of its own."""

    def __init__(self, way: str, files: list[str], resolution: int, transform: str):
        self.pipe, there = multiprocessing.Pipe()
        # Both libraries read these when they are imported, in the new process.
        os.environ.update(MEMORY[way])
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(there, way, files, resolution, transform), daemon=True
        )
        self.process.start()

    def first_batch(self) -> np.ndarray:
        self.pipe.send("first")
        return self.pipe.recv()

    def seconds(self) -> tuple[float, float]:
        """Wall and CPU seconds of reading all the files."""
        self.pipe.send("pass")
        return self.pipe.recv()

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def serve(pipe: Connection, way: str, files: list[str], resolution: int, transform: str) -> None:
    """What the process does, until it is told to end."""
    torch.set_num_threads(1)
    if way != "ours":
        sys.modules["numba"] = None  # as if not installed: the recipe by Pillow alone
    batches = our_batches if way == "ours" else usual_batches

    def read_all() -> None:
        for _ in batches(files, resolution, transform):
            pass

    while message := pipe.recv():
        if message == "first":
            pipe.send(next(iter(batches(files, resolution, transform))).numpy())
        else:
            pipe.send(timed(read_all))


# --- the comparisons -----------------------------------------------------------------------------


def comparison(
    name: str, files: list[str], resolution: int, transforms: tuple[str, str], repeats: int, **facts
) -> dict:
    """A row. transforms: of ours and of the usual way; facts: goal and peer."""
    of_ours, of_usual = transforms
    ours = Server("ours", files, resolution, of_ours)
    usual = Server("usual", files, resolution, of_usual)

    # Other draws give other pictures.
    if of_usual in (of_ours, "tensors"):
        difference = np.abs(ours.first_batch().astype(np.float64) - usual.first_batch())
        facts["difference"] = float((difference * 255 * STD).max())
    unit = f"{len(files)} pictures"
    row = compare(name, ours, usual, repeats, Server.seconds, unit=unit, **facts)

    ours.stop()
    usual.stop()
    return row


def comparisons(name: str, files: list[str], resolution: int, repeats: int) -> list[dict]:
    """All rows of one set of files."""

    def row(kind: str, ours: str, usual: str, **facts) -> dict:
        return comparison(f"{name}, {kind}", files, resolution, (ours, usual), repeats, **facts)

    return [
        row("plain", "none", "none", goal=3.0, peer="torchvision on PIL"),
        row(RECIPE, RECIPE, RECIPE, goal=2.0, peer="torchvision on PIL, same recipe"),
        row(
            "augmented",
            RECIPE,
            "randaugment",
            goal=2.0,
            peer="torchvision's RandAugment, erasing",
        ),
        row("plain against tensors", "none", "tensors", peer="torchvision's tensors, one core"),
    ]


def main() -> None:
    given = parser(__doc__, pictures=SHARED, count=64, resolution=448).parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        photos = real(given.pictures, Path(first), given.count)
        if photos:
            rows += comparisons("VOC2012 photos", photos, given.resolution, given.repeats)
        generated = generate(Path(second), given.count)
        rows += comparisons("generated 500 x 375", generated, given.resolution, given.repeats)
    write("pictures", rows, __doc__, given.out, difference="of a pixel, in grey values (0 to 255)")


if __name__ == "__main__":
    main()
