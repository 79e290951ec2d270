"""The pictures of a table, with what it says of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, UNKNOWN, LabelFile, LabelRow
from mlrepro_cli.init_data.layouts.table.columns import Columns
from mlrepro_cli.init_data.layouts.table.fields import Fields
from mlrepro_cli.init_data.layouts.table.headers import BOX_CORNERS, is_any
from mlrepro_cli.init_data.layouts.table.marks import (
    BLANK,
    Marks,
    plain_mark,
    state_of_row,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.split_column import read_splits

# Which path below the root a name means, in the words of a file.
FindPicture = Callable[[str, LabelFile], str]


@dataclass
class Listed:
    """One picture as one or several rows list it.

    where:  the first of them.
    states: PRESENT, ABSENT or UNKNOWN of each label that they name.
    others: what they say of all other labels: PRESENT for nothing.
    has_other_rows: whether rows name different labels.
    """

    where: str
    split: str = ""
    group: str = ""
    states: dict[str, int] = field(default_factory=dict)
    others: int = PRESENT
    by_annotator: dict[str, set[str]] = field(default_factory=dict)
    has_other_rows: bool = False

    @property
    def present(self) -> set[str]:
        return {label for label, state in self.states.items() if state == PRESENT}

    def state_of(self, label: str) -> int:
        """Of any label; where nothing is said of one, it is absent."""
        return self.states.get(label, UNKNOWN if self.others == UNKNOWN else ABSENT)


@dataclass(frozen=True)
class Reading:
    """How a table is read. fields: of columns of labels. marks: of columns of marks."""

    sheet: Sheet
    columns: Columns
    fields: Fields | None
    marks: Marks | None


def takes_empty_as_unknown(sheet: Sheet) -> bool:
    """Whether the user says that a picture without a name of a label waits for its labels."""
    return BLANK in map(plain_mark, sheet.file.answers.unknown)


def count_empty(sheet: Sheet, columns: Columns) -> int:
    """Rows that name no label, where labels are named in cells."""
    if not columns.labels.names:
        return 0
    return sum(not any(sheet.cells(row, columns.names)) for row in sheet.rows)


def list_pictures(reading: Reading, find: FindPicture) -> dict[str, Listed]:
    """By the picture's path. Raises InputError or Question where its rows contradict each other."""
    sheet, columns = reading.sheet, reading.columns
    splits = read_splits(sheet, columns.split) if columns.split else None
    # Of pictures of one name, that in the part of the row is meant.
    file_of = {split: replace(sheet.file, split=split) for split in set(splits or ())}
    pictures: dict[str, Listed] = {}
    for place, row in enumerate(sheet.rows):
        if (
            columns.names
            and takes_empty_as_unknown(sheet)
            and not any(sheet.cells(row, columns.names))
        ):
            continue
        for cell in sheet.cells(row, columns.pictures):
            where = sheet.where(place)
            if not cell:
                if len(columns.pictures) > 1:
                    continue
                raise InputError(f"{where}: no picture's name; write it, or remove the line")
            listed = Listed(where, splits[place] if splits else sheet.file.split)
            _read_row(reading, row, listed)

            picture = find(cell, file_of.get(listed.split, sheet.file))
            if picture in pictures:
                _add(picture, pictures[picture], listed, reading)
            else:
                pictures[picture] = listed

    if not sheet.file.answers.union:
        _refuse_annotators(pictures)
    return pictures


def _adds_rows_up(reading: Reading) -> bool:
    """Whether a picture has a row a label or an object, and so the labels of all of its rows."""
    if any(is_any(header, BOX_CORNERS) for header in reading.sheet.headers):
        return reading.fields is not None
    return reading.fields is not None and not reading.fields.lists and not reading.fields.separator


def _read_row(reading: Reading, row: list[str], listed: Listed) -> None:
    sheet, columns = reading.sheet, reading.columns
    if columns.group:
        [listed.group] = sheet.cells(row, (columns.group,))
    if reading.marks:
        cells = sheet.cells(row, columns.labels.marks)
        for header, cell in zip(columns.labels.marks, cells, strict=True):
            listed.states[header] = reading.marks.state(cell)
        listed.others = ABSENT
    _read_names(reading, row, listed)

    if columns.annotator:
        [annotator] = sheet.cells(row, (columns.annotator,))
        listed.by_annotator[annotator] = listed.present


def _read_names(reading: Reading, row: list[str], listed: Listed) -> None:
    """What cells that name labels say, the weakest first: of two states, the stronger counts."""
    sheet, columns = reading.sheet, reading.columns
    state = PRESENT
    if columns.confidence:
        [cell] = sheet.cells(row, (columns.confidence,))
        state = state_of_row(cell)
    for headers, of_headers in (
        (columns.labels.unknown_names, UNKNOWN),
        (columns.labels.absent_names, ABSENT),
        (columns.labels.names, state),
    ):
        for cell in sheet.cells(row, headers):
            listed.states |= dict.fromkeys(reading.fields.labels(cell), of_headers)
    asked = [label for label in sheet.file.answers.unknown if label in listed.states]

    # A label called `unknown`, if the user says so, and what nobody has looked for.
    for label in asked:
        del listed.states[label]
    if asked or columns.says_absent and not sheet.file.answers.complete:
        listed.others = UNKNOWN
    elif columns.says_absent:
        listed.others = ABSENT
    elif columns.labels.unknown_names:
        listed.others = ABSENT


def _add(picture: str, first: Listed, other: Listed, reading: Reading) -> None:
    """Adds what another row says of a picture."""
    said_union = reading.sheet.file.answers.union
    union = said_union or _adds_rows_up(reading)
    if first.split != other.split:
        raise InputError(
            f"{other.where}: {picture} is {other.split} here, and {first.split} in {first.where}; "
            "leave it in one split"
        )
    for label, state in other.states.items():
        if {state, first.states.get(label, state)} == {PRESENT, ABSENT} and not said_union:
            raise InputError(
                f"{other.where}: {picture} has the label {label!r} in one row and not in another "
                f"({first.where}); mend one of them, or --union takes it as present"
            )
    if not union and first.present != other.present and not first.by_annotator:
        raise Question(
            f"{other.where}: {picture} has the labels {named(other.present)} here, and "
            f"{named(first.present)} in {first.where}; --union takes all of them, or remove one "
            "of the rows"
        )
    first.has_other_rows |= first.present != other.present
    merge(first, other)


def merge(first: Listed, other: Listed) -> None:
    """Adds to the first what the other says: present over absent, absent over unknown."""
    for label, state in other.states.items():
        first.states[label] = max(state, first.states.get(label, state))
    for annotator, labels in other.by_annotator.items():
        first.by_annotator[annotator] = first.by_annotator.get(annotator, set()) | labels
    first.split = first.split or other.split
    first.group = first.group or other.group


def _refuse_annotators(pictures: dict[str, Listed]) -> None:
    """Raises Question where persons do not agree on a picture."""
    for picture, listed in pictures.items():
        [(one, labels), *others] = listed.by_annotator.items() or [("", set())]
        for other, of_other in others:
            if labels != of_other:
                raise Question(
                    f"{listed.where}: {picture} has the labels {named(labels)} by {one}, and "
                    f"{named(of_other)} by {other}; --union takes all of them, or keep the rows "
                    "of one person, or those that persons agree on"
                )


def named(labels: set[str]) -> str:
    return ", ".join(sorted(labels)) or "(none)"


def label_rows(pictures: dict[str, Listed]) -> Iterator[LabelRow]:
    """A row that lists each picture, and those of its labels that the first does not imply."""
    for picture, listed in pictures.items():
        yield LabelRow(picture, listed.split, "", listed.others, listed.group)
        for label, state in listed.states.items():
            if state != listed.others or state == PRESENT:
                yield LabelRow(picture, listed.split, label, state, listed.group)
