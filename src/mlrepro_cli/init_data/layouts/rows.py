"""What a layout is given, and what it gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class LabelFile:
    """A file that may hold labels.

    place: its path below the folder that pictures are named from, with slashes.
    split: train, val or test, where its name or a folder's says so; else "".
    given: whether the user named this very file.
    """

    path: Path
    place: str
    split: str
    given: bool


class LabelRow(NamedTuple):
    """One label of one picture, as a layout says it. A picture with two labels has two rows.

    image: the picture's name as it stands there: with none, some or all of its folders.
    split: train, val or test; "" where nothing says which.
    label: "" for a picture that is listed without any.
    """

    image: str
    split: str
    label: str
