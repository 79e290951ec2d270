"""What a layout is given, and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mlrepro.errors import first_of
from mlrepro_cli.init_data.answers import NO_ANSWERS, Answers
from mlrepro_cli.init_data.name_forms import stem

# Of files that are not read, so many are named.
SHOWN = 3
# What is said of one label of one picture, as in a manifest's label matrix.
PRESENT = 1
ABSENT = 0
UNKNOWN = -1
# Of a row without a label: nobody has said anything of the picture's labels.
UNLABELLED = -2


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


@dataclass(frozen=True)
class UserFolder:
    """All that is visible below one folder; links to folders are followed.

    root:      the folder that pictures are named from.
    pictures:  paths below root, sorted.
    left_out:  pictures that are not used, and why.
    files:     all others, sorted by place; only the one that the user named, where one was.
    beside:    all others, whether the user named one or not.
    given:     whether the user named a file.
    notes:     lines for the user on what was understood, in the order of reading.
    unread:    places of files that are not read, by the reason.
    """

    root: Path
    pictures: list[str]
    left_out: dict[str, str]
    files: list[LabelFile]
    beside: list[LabelFile]
    answers: Answers = NO_ANSWERS
    given: bool = False
    notes: list[str] = field(default_factory=list)
    unread: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def stems(self) -> set[str]:
        """Names of all pictures without folder and suffix."""
        return {stem(picture.rpartition("/")[2]) for picture in self.pictures}

    def note(self, line: str) -> None:
        """Says it once, at the end."""
        if line not in self.notes:
            self.notes.append(line)

    def note_unread(self, place: str, reason: str) -> None:
        """Says of all files with one reason at once that they are not read."""
        self.unread.setdefault(reason, []).append(place)

    @property
    def lines(self) -> list[str]:
        """All that the user is told."""
        lines = list(self.notes)
        for reason, places in self.unread.items():
            lines.append(f"{first_of(places, SHOWN)}: not read, {reason}")
        return lines


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
    source: place of the file that says so, or of a folder; pictures are looked for beside it first.
            Filled in for layouts of one file each.

    A row without a label that is UNLABELLED says that nobody has said anything of the picture: it
    is left out, and that is said.
    """

    image: str
    split: str
    label: str
    state: int = PRESENT
    group: str = ""
    source: str = ""


def first_record(content: dict | list) -> dict:
    """The first of a list of objects, by whose keys a tool's JSON is known; {} of all else."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return content[0]
    return {}


def unlabelled(image: str, split: str, source: str = "") -> LabelRow:
    """The row of a picture that is listed, and of whose labels nothing is known."""
    return LabelRow(image, split, "", UNLABELLED, source=source)
