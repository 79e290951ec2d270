"""Caltech-UCSD Birds 200-2011 with its 312 binary attributes as classes."""

from pathlib import Path

import numpy as np

from mlrepro.data.formats.catalogue import Format
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import read_text
from mlrepro.errors import InputError
from mlrepro.settings.data import CubData

REMEDY = "unpack the archive again"
PARTS = {"1": "train", "0": "test"}  # in train_test_split.txt


def read(settings: CubData, root: Path) -> Listing:
    """Rows in the order of images.txt, train and test among each other, as in Cole et al. 2021.

    An attribute is positive where `is_present` is 1, however certain the annotator was.
    """
    folder = root / settings.root
    images = _numbered_lines(folder / "images.txt")
    parts = _parts(folder / "train_test_split.txt", images)
    classes = _classes(root, folder)
    label_file = folder / "attributes" / "image_attribute_labels.txt"
    labels = _attributes(label_file, list(images), len(classes))

    pictures = []
    for (number, name), row in zip(images.items(), labels, strict=True):
        pictures.append(
            ListedPicture(
                image=f"{settings.root}/images/{name}",
                part=parts[number],
                split=parts[number],
                labels=np.flatnonzero(row).tolist(),
            )
        )
    return Listing(pictures, classes)


def _classes(root: Path, folder: Path) -> list[str]:
    # attributes.txt lies beside the folder in the archive, and in attributes/ where its README
    # says it is.
    path = folder / "attributes" / "attributes.txt"
    if not path.is_file():
        path = root / "attributes.txt"
    return list(_numbered_lines(path).values())


def _parts(path: Path, images: dict[str, str]) -> dict[str, str]:
    """Picture number -> train or test, of exactly the given pictures."""
    flags = _numbered_lines(path)
    if flags.keys() != images.keys():
        first = min(flags.keys() ^ images.keys(), key=int)
        raise InputError(f"{path}: lists other pictures than images.txt, e.g. {first}; {REMEDY}")

    for number in images:
        if flags[number] not in PARTS:
            raise InputError(
                f"{path}: picture {number} has {flags[number]!r}, expected 1 (train) or 0"
            )
    return {number: PARTS[flag] for number, flag in flags.items()}


def _numbered_lines(path: Path) -> dict[str, str]:
    """`<number> <text>` lines: number -> text, in the order of the file."""
    texts = {}
    for line_number, line in enumerate(read_text(path, REMEDY).splitlines(), 1):
        tokens = line.split(maxsplit=1)
        if len(tokens) != 2 or not tokens[0].isdecimal() or tokens[0] in texts:
            raise InputError(
                f"{path}, line {line_number}: expected a new number and a text, found {line!r}; "
                f"{REMEDY}"
            )
        number, text = tokens
        texts[number] = text.strip()
    return texts


def _attributes(path: Path, images: list[str], count: int) -> np.ndarray:
    """(pictures, attributes) of 0 and 1, from lines `<picture> <attribute> <is_present> ...`.

    The lines are expected to name all attributes of the first picture, then of the next.
    """
    lines = _first_three_fields(path)

    numbers = np.array(images, np.int64)
    expected_pictures = np.repeat(numbers, count)
    expected_attributes = np.tile(np.arange(1, count + 1), len(numbers))
    expected = np.stack([expected_pictures, expected_attributes], axis=1)

    # As far as both go: the first line that is not as expected says more than their number.
    both = min(len(lines), len(expected))
    misplaced = (lines[:both, :2] != expected[:both]).any(axis=1)
    not_a_flag = ~np.isin(lines[:both, 2], (0, 1))
    wrong = misplaced | not_a_flag
    if wrong.any():
        line = int(np.argmax(wrong))
        picture, attribute = expected[line]
        raise InputError(
            f"{path}, line {line + 1}: found {lines[line].tolist()}, expected picture {picture}, "
            f"attribute {attribute} and 0 or 1; {REMEDY}"
        )
    if len(lines) != len(expected):
        raise InputError(
            f"{path}: {len(lines)} lines, expected {count} for each of {len(numbers)} pictures; "
            f"{REMEDY}"
        )
    return lines[:, 2].reshape(len(numbers), count)


def _first_three_fields(path: Path) -> np.ndarray:
    """(lines, 3) int64. A few lines of the real file have more fields than the others."""
    try:
        return np.loadtxt(path, np.int64, usecols=(0, 1, 2), ndmin=2)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {REMEDY}") from None
    except ValueError as error:
        raise InputError(
            f"{path}: {error}; expected `<picture> <attribute> <is_present> ...` in each line: "
            f"{REMEDY}"
        ) from None


FORMAT = Format(read=read)
