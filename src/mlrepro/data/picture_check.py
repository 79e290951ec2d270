"""Is a file a picture that decodes, and how large is it? Nothing that fails here is ever used."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas
from PIL import Image, UnidentifiedImageError

from mlrepro.cores import worker_threads
from mlrepro.data.picture_formats import open_picture, unidentified
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.progress import progress_bar

CHUNK = 64  # pictures a task
SHOWN = 5  # pictures that an error names


@dataclass(frozen=True, slots=True)
class Checked:
    """A picture's size in pixels, and its file's in bytes; or why it cannot be used."""

    width: int = 0
    height: int = 0
    bytes: int = 0
    problem: str | None = None


def check_pictures(table: pandas.DataFrame, root: Path) -> tuple[pandas.DataFrame, list[dict]]:
    """Decode the pictures of a table's rows (image, split and more).

    Returns the rows whose picture decodes, with width, height and bytes; and {image, reason, row,
    split} of the others, in the table's order. `row` counts the rows before any was left out.
    """
    checked = _check_all(table["image"].tolist(), root)
    is_good = [picture.problem is None for picture in checked]

    rejected = []
    for row, (image, split) in enumerate(zip(table["image"], table["split"], strict=True)):
        if not is_good[row]:
            reason = checked[row].problem
            rejected.append({"image": image, "reason": reason, "row": row, "split": split})

    good = [picture for picture in checked if picture.problem is None]
    table = table[is_good].reset_index(drop=True)
    table = table.assign(
        width=np.array([picture.width for picture in good], np.int64),
        height=np.array([picture.height for picture in good], np.int64),
        bytes=np.array([picture.bytes for picture in good], np.int64),
    )
    return table, rejected


def _check_all(images: list[str], root: Path) -> list[Checked]:
    def check_chunk(chunk: list[str]) -> list[Checked]:
        return [check_picture(picture_file(root, image)) for image in chunk]

    # Threads suffice, as the decoders let go of Python's lock; in chunks, a task costs less.
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    with ThreadPoolExecutor(worker_threads()) as pool:
        checked = progress_bar(
            pool.map(check_chunk, chunks),
            desc="checking",
            total=len(chunks),
            unit=f"x{CHUNK} pictures",
        )
        return list(chain.from_iterable(checked))


def check_picture(path: Path) -> Checked:
    """Decode one file, to its end."""
    if is_something_else(path):
        return Checked(problem="no regular file")
    if not os.path.isfile(path):
        return Checked(problem="missing")
    # What an interrupted copy leaves behind.
    size = path.stat().st_size
    if not size:
        return Checked(problem="empty file")

    try:
        with open_picture(path) as image:
            width, height = image.size
            # Some TIFFs: a conversion to 8 bits would clip them.
            if image.mode == "F":
                return Checked(problem="floating-point pixels, whose range is not known")
            # A JPEG is read to its end, but transformed at an eighth of its size.
            image.draft("RGB", (1, 1))
            image.load()
    except UnidentifiedImageError:
        return Checked(problem=unidentified(path))
    except Image.DecompressionBombError as error:
        return Checked(problem=f"too large: {error}")
    except Exception as error:  # the decoders raise whatever their damaged input led them to
        return Checked(problem=f"damaged: {error}")
    return Checked(width, height, size)


def problem_of(path: Path) -> str | None:
    """Why a file cannot be used as a picture; None where it can."""
    return check_picture(path).problem


def report_rejected(
    rejected: list[dict], total: int, limit: float, root: Path, remedy: str
) -> None:
    """Print the rejected of `total` pictures; InputError where their share is larger than `limit`.

    The error names the first ones and the remedy, a clause.
    """
    lines = [f"  {entry['image']}: {entry['reason']}" for entry in rejected]
    if len(rejected) > limit * total:
        shown = lines[:SHOWN]
        if len(lines) > SHOWN:
            shown.append(f"  and {len(lines) - SHOWN} more")
        listed = "\n".join(shown)
        raise InputError(
            f"{root}: {len(rejected)} of {total} pictures cannot be used:\n{listed}\n"
            f"{remedy}, or raise `rejected_limit`, now {limit}, "
            f"above {len(rejected) / total:.2g} to leave them out"
        )

    if rejected:
        print(f"{len(rejected)} of {total} pictures cannot be used and are left out:")
        print("\n".join(lines))
