"""What a layout is given, and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlrepro_cli.init_data.answers import NO_ANSWERS, Answers

# What is said of one label of one picture, as in a manifest's label matrix.
PRESENT = 1
ABSENT = 0
UNKNOWN = -1


@dataclass(frozen=True)
class LabelFile:
    """A file that may hold labels.

    place: its path below the folder that pictures are named from, with slashes.
    split: train, val or test, where its name or a folder's says so; else "".
    given: whether the user named this very file.
    answers: what the user said of the labels; a layout asks for what it cannot tell without.
    pictures: the paths of all pictures below that folder.
    """

    path: Path
    place: str
    split: str
    given: bool
    answers: Answers = NO_ANSWERS
    pictures: Sequence[str] = ()


class LabelRow(NamedTuple):
    """One label of one picture, as a layout says it. A picture with two labels has two rows.

    image: the picture's name as it stands there: with none, some or all of its folders.
    split: train, val or test; "" where nothing says which.
    label: "" for a picture that is listed, with or without any; its state is of all labels that no
           row of the picture names: ABSENT where they were looked for, UNKNOWN, or PRESENT for
           nothing said.
    state: PRESENT, ABSENT or UNKNOWN. Where nothing is said of a label, it is absent, or unknown
           with `--partial`.
    group: what the picture shares with others that must not lie in two splits, such as a patient;
           "" where nothing is known.
    """

    image: str
    split: str
    label: str
    state: int = PRESENT
    group: str = ""
