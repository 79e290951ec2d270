"""JPEG files to normalised 448 px tensors, on one core: the package's loading against torchvision's PIL pipeline.

    python benchmarks/pictures.py

Both deliver batches of 32 float32 tensors through a DataLoader without workers, each in a process of its own with one thread,
in turn. The usual way is torchvision's Resize (antialiased), ToTensor and Normalize on PIL pictures with the default collate.
The package decodes with libjpeg-turbo and resizes by compiled code with Pillow's arithmetic, so that the pixels are the same;
it collates bytes and normalises in the processor's cache. Pictures: a VOC2012 archive or folder if there is one, and generated
ones of VOC's true size.

With augmentation (AAM's RandAugment and cutout), the usual way runs the same recipe with the same draws between Resize and
ToTensor, all by Pillow (equal pixels), and once torchvision's own RandAugment and a square hole (other pixels, so no difference
is stated).
`torchvision's tensors` is what its JPEG decoder and its resize of uint8 tensors would give: faster, but not the same pixels.
"""

import multiprocessing
import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from common import compare, parser, write
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "voc2012-animals"
BATCH, SEED, RECIPE = 32, 0, "aam"
CPU = torch.device("cpu")
STD = np.array([0.229, 0.224, 0.225]).reshape(
    3, 1, 1
)  # of ImageNet's normalisation: times 255, back to grey values


def generate(folder: Path, count: int, width: int = 500, height: int = 375) -> list[str]:
    """JPEG files of smooth noise, which compress as photos do."""
    random = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(
            random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        )
        small.resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"{i:04d}.jpg", quality=92
        )
    return sorted(map(str, folder.glob("*.jpg")))


def real(source: Path, folder: Path, count: int) -> list[str]:
    """The first `count` JPEG files of a folder, or of the archives in it; none where it is absent."""
    found = sorted(map(str, source.rglob("*.jpg")))[:count]
    for archive in [] if found else sorted(source.glob("*.tar")):
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.name.endswith(".jpg")][:count]
            tar.extractall(folder, members, filter="data")
        found = sorted(map(str, folder.rglob("*.jpg")))
    return found


def usual_batches(files: list[str], resolution: int, transform: str):
    """float32 (B, 3, S, S): the way of torchvision's own examples."""
    from torch.utils.data import DataLoader, Dataset
    from torchvision import io, transforms
    from torchvision.transforms.v2 import functional

    from mlrepro.data.augment import RECIPES
    from mlrepro.data.images import NORMALISATION

    end = [transforms.ToTensor(), transforms.Normalize(*NORMALISATION["imagenet"])]
    resize = transforms.Resize((resolution, resolution))
    chains = {
        "none": [resize, *end],
        "randaugment": [
            resize,
            transforms.RandAugment(),
            transforms.RandomHorizontalFlip(),
            *end,
            transforms.RandomErasing(0.5, scale=(0.16, 0.16), ratio=(1, 1)),
        ],
    }

    class Files(Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, i: int) -> torch.Tensor:
            if transform == "tensors":
                picture = io.decode_jpeg(io.read_file(files[i]), mode=io.ImageReadMode.RGB)
                picture = functional.resize(picture, [resolution, resolution], antialias=True)
                return functional.normalize(
                    functional.to_dtype(picture, torch.float32, scale=True),
                    *NORMALISATION["imagenet"],
                )
            with Image.open(files[i]) as image:
                picture = image.convert("RGB")
            if transform in RECIPES and transform != "none":
                picture = RECIPES[transform](resize(picture), np.random.default_rng([SEED, 0, i]))
                return end[1](end[0](picture))
            return transforms.Compose(chains[transform])(picture)

    return DataLoader(Files(), BATCH)


def our_batches(files: list[str], resolution: int, transform: str):
    import pandas

    from mlrepro.data.images import (
        NORMALISATION,
        Pictures,
        normalise,
        picture_batches,
        sequential_batches,
    )

    manifest = SimpleNamespace(frame=pandas.DataFrame({"image": files}), root=Path())
    pictures = Pictures(manifest, np.arange(len(files)), resolution, "bilinear", transform, SEED, 0)
    for batch, _ in picture_batches(pictures, sequential_batches(len(files), BATCH), CPU):
        yield normalise(batch, *NORMALISATION["imagenet"])


def serve(pipe, way: str, files: list[str], resolution: int, transform: str) -> None:
    """A process: for each message, `first`: the first batch; `pass`: (wall, CPU) seconds of all batches; none: the end."""
    torch.set_num_threads(1)
    if way != "ours":
        sys.modules["numba"] = None  # as if not installed: the recipe by Pillow alone
    batches = our_batches if way == "ours" else usual_batches
    while message := pipe.recv():
        wall, cpu = time.perf_counter(), time.process_time()
        loader = iter(batches(files, resolution, transform))
        if message == "first":
            pipe.send(next(loader).numpy())
            continue
        for _ in loader:
            pass
        pipe.send((time.perf_counter() - wall, time.process_time() - cpu))


def start(way: str, *arguments):
    """(process, pipe) of `serve`. The package asks torch for large pages and Pillow to keep memory; the usual way does not."""
    here, there = multiprocessing.Pipe()
    os.environ |= (
        {"THP_MEM_ALLOC_ENABLE": "1", "PILLOW_BLOCKS_MAX": "8"}
        if way == "ours"
        else {"THP_MEM_ALLOC_ENABLE": "0", "PILLOW_BLOCKS_MAX": "0"}
    )
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, way, *arguments), daemon=True
    )
    process.start()
    return process, here


def comparison(
    name: str, files: list[str], resolution: int, ours: str, usual: str, repeats: int, **facts
) -> dict:
    processes, pipes = zip(
        start("ours", files, resolution, ours),
        start("usual", files, resolution, usual),
        strict=True,
    )

    def ask(pipe, message: str):
        pipe.send(message)
        return pipe.recv()

    if usual in (ours, "tensors"):
        first, second = (ask(pipe, "first").astype(np.float64) for pipe in pipes)
        facts["difference"] = float((np.abs(first - second) * 255 * STD).max())
    row = compare(
        name,
        pipes[0],
        pipes[1],
        repeats,
        lambda pipe: ask(pipe, "pass"),
        unit=f"{len(files)} pictures",
        **facts,
    )
    for process, pipe in zip(processes, pipes, strict=True):
        pipe.send(None)
        process.join()
    return row


def main() -> None:
    options = parser(__doc__, pictures=SHARED, count=64, resolution=448)
    given = options.parse_args()
    rows, size = [], given.resolution
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        sets = {"generated 500 x 375": generate(Path(first), given.count)}
        if photos := real(given.pictures, Path(second), given.count):
            sets = {"VOC2012 photos": photos} | sets
        for name, files in sets.items():
            arguments = (files, size)
            rows += [
                comparison(
                    f"{name}, plain",
                    *arguments,
                    "none",
                    "none",
                    given.repeats,
                    goal=3.0,
                    peer="torchvision on PIL",
                ),
                comparison(
                    f"{name}, {RECIPE}",
                    *arguments,
                    RECIPE,
                    RECIPE,
                    given.repeats,
                    goal=2.0,
                    peer="torchvision on PIL, same recipe",
                ),
                comparison(
                    f"{name}, augmented",
                    *arguments,
                    RECIPE,
                    "randaugment",
                    given.repeats,
                    goal=2.0,
                    peer="torchvision's RandAugment, erasing",
                ),
                comparison(
                    f"{name}, plain against tensors",
                    *arguments,
                    "none",
                    "tensors",
                    given.repeats,
                    peer="torchvision's tensors, one core",
                ),
            ]
    write("pictures", rows, __doc__, given.out, difference="of a pixel, in grey values (0 to 255)")


if __name__ == "__main__":
    main()
