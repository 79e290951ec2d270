"""MIRFLICKR-25K (Huiskes and Lew 2008) with its `relevant` labels, one file of picture numbers a label."""

from pathlib import Path

import numpy as np

from mlrepro.data.corruption import hold_out
from mlrepro.data.formats import Listing, read_text, table
from mlrepro.errors import InputError
from mlrepro.settings.data import MirflickrData

TOTAL = 25_000  # im1.jpg to im25000.jpg


def read(settings: MirflickrData, root: Path) -> Listing:
    """The pictures that the seed draws, in numerical order, also those without any of the labels; it draws the test set too."""
    labels = np.zeros((TOTAL, len(settings.classes)), bool)
    for column, name in enumerate(settings.classes):
        path = root / settings.annotations / f"{name}_r1.txt"
        for line, text in enumerate(
            read_text(path, "mend `annotations` or `classes`, or unpack it again").splitlines(), 1
        ):
            if not (text.strip().isdecimal() and 1 <= int(text) <= TOTAL):
                raise InputError(
                    f"{path}, line {line}: {text!r} is no picture from 1 to {TOTAL}; unpack the archive again"
                )
            labels[int(text) - 1, column] = True
    drawn = np.sort(np.random.RandomState(settings.seed).permutation(TOTAL)[: settings.pictures])
    split = np.full(len(drawn), "train", object)
    split[hold_out(len(drawn), settings.test_fraction, settings.seed)[1]] = "test"
    rows = [
        (
            f"mirflickr/im{number + 1}.jpg",
            "mirflickr25k",
            of_row,
            np.flatnonzero(labels[number]).tolist(),
            [],
            [],
            [],
        )
        for number, of_row in zip(drawn.tolist(), split, strict=True)
    ]
    return table(rows), list(settings.classes)
