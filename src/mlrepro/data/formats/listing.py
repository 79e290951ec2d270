"""What the reader of a format gives: the pictures that a data set lists, and its classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas

COLUMNS = ("image", "part", "split", "labels", "difficult", "ignored", "captions")
COLUMNS_OF_SOME = ("negatives", "instances")  # that only some sources know


@dataclass(slots=True)
class ListedPicture:
    """One picture as its data set lists it: nobody has looked yet whether it is there.

    Classes are given by their index. `Manifest` says what each field means, except for this one:
        instances  a class index an object, so that a class may occur several times; None: unknown
    """

    image: str  # path below the picture root
    part: str
    split: str
    labels: list[int]
    difficult: list[int] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    negatives: list[int] | None = None
    instances: list[int] | None = None


class Listing(NamedTuple):
    """A data set as it is published: pictures in its own row order, class names in index order."""

    pictures: list[ListedPicture]
    classes: list[str]


def as_table(pictures: Sequence[ListedPicture]) -> pandas.DataFrame:
    """One row a picture, in the same order. Columns that are all None are left out."""
    columns = {name: [getattr(picture, name) for picture in pictures] for name in COLUMNS}

    for name in COLUMNS_OF_SOME:
        values = [getattr(picture, name) for picture in pictures]
        if any(value is not None for value in values):
            columns[name] = values

    return pandas.DataFrame(columns)
