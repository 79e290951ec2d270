"""MIRFLICKR-25K (Huiskes and Lew 2008) with its `relevant` labels, a file of numbers each."""

from pathlib import Path

import numpy as np

from mlrepro.data.corruption import hold_out
from mlrepro.data.formats.catalogue import Format
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import read_text
from mlrepro.errors import InputError
from mlrepro.settings.data import MirflickrData

TOTAL = 25_000  # im1.jpg to im25000.jpg
REMEDY = "mend `annotations` or `classes`, or unpack it again"


def read(settings: MirflickrData, root: Path) -> Listing:
    """The pictures that the seed draws, in numerical order, also those without any label.

    The same seed draws the test set among them.
    """
    labels = np.zeros((TOTAL, len(settings.classes)), bool)
    for column, name in enumerate(settings.classes):
        numbers = _picture_numbers(root / settings.annotations / f"{name}_r1.txt")
        labels[numbers - 1, column] = True

    # The study does not say which pictures it used: ours are drawn, and the same every time.
    shuffled = np.random.RandomState(settings.seed).permutation(settings.first)
    drawn = np.sort(shuffled[: settings.pictures])
    _, test = hold_out(len(drawn), settings.test_fraction, settings.seed)
    splits = np.full(len(drawn), "train", object)
    splits[test] = "test"

    pictures = [
        ListedPicture(
            image=f"mirflickr/im{index + 1}.jpg",
            part="mirflickr25k",
            split=split,
            labels=np.flatnonzero(labels[index]).tolist(),
        )
        for index, split in zip(drawn.tolist(), splits, strict=True)
    ]
    return Listing(pictures, list(settings.classes))


def _picture_numbers(path: Path) -> np.ndarray:
    """Numbers from 1 on, one a line, of the pictures that have a label."""
    numbers = []
    for line, text in enumerate(read_text(path, REMEDY).splitlines(), 1):
        if not (text.strip().isdecimal() and 1 <= int(text) <= TOTAL):
            raise InputError(
                f"{path}, line {line}: {text!r} is no picture from 1 to {TOTAL}; "
                "unpack the archive again"
            )
        numbers.append(int(text))
    return np.array(numbers, np.int64)


FORMAT = Format(read=read)
