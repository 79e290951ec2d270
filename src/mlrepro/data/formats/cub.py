"""Caltech-UCSD Birds 200-2011 with its 312 binary attributes as classes."""

from pathlib import Path

import numpy as np

from mlrepro.data.formats import Listing, read_text, table
from mlrepro.errors import InputError
from mlrepro.settings.data import CubData

REMEDY = "unpack the archive again"


def read(settings: CubData, root: Path) -> Listing:
    """Rows in the order of images.txt, train and test among each other, as Cole et al. 2021 read them. An attribute is positive
    where `is_present` is 1, however certain the annotator was."""
    folder = root / settings.root
    images = _pairs(folder / "images.txt")
    parts = _pairs(folder / "train_test_split.txt")
    if parts.keys() != images.keys():
        other = min(parts.keys() ^ images.keys(), key=int)
        raise InputError(
            f"{folder / 'train_test_split.txt'}: lists other pictures than images.txt, e.g. {other}; {REMEDY}"
        )
    # attributes.txt lies beside the folder in the archive, and in attributes/ where its README says it is.
    inside = folder / "attributes" / "attributes.txt"
    classes = list(_pairs(inside if inside.is_file() else root / "attributes.txt").values())
    labels = _attributes(
        folder / "attributes" / "image_attribute_labels.txt", list(images), len(classes)
    )
    rows = []
    for (key, name), row in zip(images.items(), labels, strict=True):
        if parts[key] not in ("0", "1"):
            raise InputError(
                f"{folder / 'train_test_split.txt'}: picture {key} has {parts[key]!r}, expected 1 (train) or 0"
            )
        part = "train" if parts[key] == "1" else "test"
        rows.append(
            (f"{settings.root}/images/{name}", part, part, np.flatnonzero(row).tolist(), [], [], [])
        )
    return table(rows), classes


def _pairs(path: Path) -> dict[str, str]:
    """`<number> <text>` lines: number -> text, in the order of the file."""
    values = {}
    for number, line in enumerate(read_text(path, REMEDY).splitlines(), 1):
        tokens = line.split(maxsplit=1)
        if len(tokens) != 2 or not tokens[0].isdecimal() or tokens[0] in values:
            raise InputError(
                f"{path}, line {number}: expected a new number and a text, found {line!r}; {REMEDY}"
            )
        values[tokens[0]] = tokens[1].strip()
    return values


def _attributes(path: Path, images: list[str], count: int) -> np.ndarray:
    """(pictures, attributes) of 0 and 1: lines `<picture> <attribute> <is_present> ...`, all attributes of a picture in turn."""
    try:
        # A few lines of the real file have more fields than the others: only the first three are looked at.
        table = np.loadtxt(path, np.int64, usecols=(0, 1, 2), ndmin=2)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {REMEDY}") from None
    except ValueError as error:
        raise InputError(
            f"{path}: {error}; expected `<picture> <attribute> <is_present> ...` in each line: {REMEDY}"
        ) from None
    keys = np.array(images, np.int64)
    wanted = np.stack([np.repeat(keys, count), np.tile(np.arange(1, count + 1), len(keys))], axis=1)
    lines = min(len(table), len(wanted))
    wrong = (table[:lines, :2] != wanted[:lines]).any(1) | ~np.isin(table[:lines, 2], (0, 1))
    if wrong.any():
        line = int(np.argmax(wrong))
        raise InputError(
            f"{path}, line {line + 1}: found {table[line].tolist()}, expected picture {wanted[line, 0]}, attribute "
            f"{wanted[line, 1]} and 0 or 1; {REMEDY}"
        )
    if len(table) != len(wanted):
        raise InputError(
            f"{path}: {len(table)} lines, expected {count} for each of {len(keys)} pictures; {REMEDY}"
        )
    return table[:, 2].reshape(len(keys), count)
