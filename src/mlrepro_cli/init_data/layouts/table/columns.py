"""Which column of a table says what."""

from dataclasses import dataclass, replace

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts.table import headers as named
from mlrepro_cli.init_data.layouts.table.label_columns import (
    LabelColumns,
    find_label_columns,
    is_chosen_mark,
)
from mlrepro_cli.init_data.layouts.table.marks import (
    are_marks,
    row_states,
    state_of_row,
)
from mlrepro_cli.init_data.layouts.table.numbers import number
from mlrepro_cli.init_data.layouts.table.pictures import Stems, find_picture_columns
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.split_column import find_split_column, read_splits

# A column of parts holds no more different words.
MOST_PARTS = 20
# What people and programs write of a row's label that was looked at again.
TURNED_DOWN = frozenset(
    "reject rejected decline declined discard discarded ignore ignored skip skipped cancelled "
    "canceled invalid".split()
)
ACCEPTED = frozenset([""]) | frozenset(
    "accept accepted approve approved submit submitted complete completed done ok valid reviewed "
    "pending".split()
)


@dataclass(frozen=True)
class Columns:
    """Headers by what their columns say.

    pictures:   names of pictures; several where the labels of a row are those of each.
    labels:     those of labels.
    split:      train, val or test.
    group:      what pictures share that must not lie in two splits.
    confidence: 1 where the label of the row was found to be there, 0 where not to be.
    annotator:  who gave the labels.
    unread:     all others.
    """

    pictures: tuple[str, ...]
    labels: LabelColumns = LabelColumns()
    split: str | None = None
    group: str | None = None
    confidence: str | None = None
    annotator: str | None = None
    unread: tuple[str, ...] = ()

    @property
    def has_labels(self) -> bool:
        return bool(self.labels.names or self.labels.marks)

    @property
    def says_absent(self) -> bool:
        """Whether labels that are not there are named, so that others are not known."""
        return bool(self.confidence or self.labels.absent_names)

    @property
    def names(self) -> tuple[str, ...]:
        """All columns whose cells name labels."""
        return self.labels.names + self.labels.absent_names + self.labels.unknown_names


def find_columns(sheet: Sheet, stems: Stems, answers: Answers) -> Columns | None:
    """None for a table without names of pictures. Raises Question for one of two readings."""
    pictures = find_picture_columns(sheet, stems, answers)
    if not pictures:
        return None

    aside = {*pictures, *answers.ignore_columns, answers.group_column}
    rest = [header for header in sheet.headers if header not in aside]
    split_like = _split_like(sheet, rest, answers)
    rest = [header for header in rest if header not in split_like]
    annotator = _annotator(sheet, rest, answers)
    rest = [header for header in rest if header != annotator]

    labels = find_label_columns(sheet, rest, answers)
    has_labels = bool(labels.names or labels.marks)
    confidence = None
    if has_labels:
        known = {*labels.names, *labels.marks, answers.state_column}
        _ask_about_verdicts(sheet, [header for header in rest if header not in known])
    if labels.names:
        beside = [header for header in rest if header not in labels.names]
        confidence = _confidence(sheet, beside) or _state(
            sheet, beside, pictures, labels.names, answers
        )
    # A table without labels may be about anything: it is not asked about.
    split = find_split_column(sheet, split_like, answers, ask=has_labels)
    columns = Columns(
        pictures,
        labels,
        split,
        answers.group_column if answers.group_column in sheet.headers else None,
        confidence,
        annotator,
    )
    read = {*columns.names, *labels.marks, confidence, annotator, split}
    unread = tuple(header for header in [*rest, *split_like] if header not in read)
    return replace(columns, unread=unread)


def _split_like(sheet: Sheet, headers: list[str], answers: Answers) -> list[str]:
    """Columns that may say the split: that of the user's choice, else those headed so."""
    if answers.split_column:
        return [header for header in headers if header == answers.split_column]
    return [
        header
        for header in headers
        if header not in answers.label_columns
        and not is_chosen_mark(sheet, header, answers)
        and _says_split(sheet, header)
    ]


def _says_split(sheet: Sheet, header: str) -> bool:
    """By its header; or by its cells, which are all words for parts, of two parts at least."""
    if named.is_split(header) or named.flagged_split(header):
        return True
    # Of names of pictures there are too many to look at each.
    if len(set(sheet.column(header))) > MOST_PARTS:
        return False
    splits = read_splits(sheet, header)
    if named.label_family(header) == "tag":
        return splits is not None
    return splits is not None and len(set(splits)) > 1


def _annotator(sheet: Sheet, headers: list[str], answers: Answers) -> str | None:
    """The column of who gave the labels of the row, unless the user says that it is of labels.

    Beside other columns of marks, one of marks is a label, as `worker` is beside `helmet`.
    """
    chosen = {*answers.label_columns, *answers.mark_columns, answers.state_column}
    others = [
        header
        for header in headers
        if header not in chosen and not named.is_any(header, named.LABEL_WORDS)
    ]
    found = _first(others, named.ANNOTATOR_WORDS)
    if found is None or not are_marks(sheet.column(found), answers):
        return found
    has_marks = any(
        are_marks(sheet.column(header), answers) for header in headers if header != found
    )
    return None if has_marks else found


def _first(headers: list[str], wanted: frozenset[str]) -> str | None:
    return next((header for header in headers if named.is_any(header, wanted)), None)


def _has_all_pairs(sheet: Sheet, pictures: tuple[str, ...], labels: tuple[str, ...]) -> bool:
    """Whether there is a row for each picture and label, so that something else says which are."""
    cells = [set(sheet.column(header)) for header in (pictures[0], labels[0])]
    pairs = set(zip(sheet.column(pictures[0]), sheet.column(labels[0]), strict=True))
    return len(cells[1]) > 1 and len(pairs) == len(cells[0]) * len(cells[1])


def _state(
    sheet: Sheet,
    rest: list[str],
    pictures: tuple[str, ...],
    labels: tuple[str, ...],
    answers: Answers,
) -> str | None:
    """A column of yes and no for the label of each row. Raises Question where one may be that."""
    if answers.state_column:
        if answers.state_column in rest:
            _refuse_no_states(sheet, answers.state_column)
            return answers.state_column
        return None
    amounts = _amount(sheet, rest, pictures, labels)
    if amounts:
        return amounts
    yes_and_no = [header for header in rest if row_states(sheet.column(header))]
    for header in yes_and_no:
        if named.is_any(header, named.STATE_WORDS):
            return header

    # Of a table with a row a picture, it would be of all labels of the row.
    names = sheet.column(pictures[0])
    for header in yes_and_no:
        is_of_boxes = named.is_any(header, named.BOX_WORDS | named.MEASURE_WORDS)
        is_of_boxes = is_of_boxes and not _has_all_pairs(sheet, pictures, labels)
        if len(set(names)) < len(names) and not is_of_boxes:
            raise Question(
                f"{sheet.file.path}: does column {header!r} of yes and no, or 1 and 0, say "
                f"whether the label of its row is there (--state-column {header!r}), or something "
                f"else (--ignore-column {header!r})?"
            )
    return None


def _ask_about_verdicts(sheet: Sheet, rest: list[str]) -> None:
    """Raises Question for a column that says whether a row was accepted, where some were not."""
    for header in rest:
        cells = [cell.strip().lower() for cell in sheet.column(header)]
        turned_down = [place for place, cell in enumerate(cells) if cell in TURNED_DOWN]
        if turned_down and set(cells) <= TURNED_DOWN | ACCEPTED:
            raise Question(
                f"{sheet.where(turned_down[0])}: column {header!r} says "
                f"{cells[turned_down[0]]!r}, as of {len(turned_down)} rows; take these rows out, "
                f"or, where their labels hold all the same, say --ignore-column {header!r}"
            )


def _refuse_no_states(sheet: Sheet, header: str) -> None:
    """Raises InputError for a cell that says neither that its label is there nor that it is not."""
    for place, cell in enumerate(sheet.column(header)):
        if state_of_row(cell) is None:
            raise InputError(
                f"{sheet.where(place)}: column {header!r} holds {cell or 'nothing'}, which does "
                "not say whether the label of its row is there; write 1 or 0, or how many there are"
            )


def _amount(
    sheet: Sheet, rest: list[str], pictures: tuple[str, ...], labels: tuple[str, ...]
) -> str | None:
    """A column that says how much of the label of each row is there, none of some.

    Raises Question where it is not sure to be one.
    """
    names = sheet.column(pictures[0])
    if len(set(names)) == len(names):
        return None
    has_all_pairs = _has_all_pairs(sheet, pictures, labels)
    measures = named.MEASURE_WORDS | named.BOX_WORDS
    for header in rest:
        is_headed = named.is_any(header, named.AMOUNT_WORDS)
        may_be_any = has_all_pairs and not named.is_any(header, measures)
        if not (is_headed or may_be_any) or not _are_amounts(sheet.column(header)):
            continue
        if is_headed and has_all_pairs:
            return header
        raise Question(
            f"{sheet.file.path}: column {header!r} holds 0 in some rows: is the label of such a "
            f"row not there (--state-column {header!r}), or does it say something else "
            f"(--ignore-column {header!r})?"
        )
    return None


def _are_amounts(cells: list[str]) -> bool:
    """Whether they are numbers from 0 on, with some of more than 1."""
    numbers = {number(cell) for cell in set(cells)}
    return None not in numbers and min(numbers) == 0 and max(numbers) > 1


def _confidence(sheet: Sheet, rest: list[str]) -> str | None:
    """A column of 0 and 1. Raises Question for one of scores."""
    header = _first(rest, named.SCORE_WORDS)
    if header is None:
        return None
    values = {value for value in map(number, sheet.column(header)) if value is not None}
    if values <= {0, 1}:
        return header if values else None
    raise Question(
        f"{sheet.file.path}: column {header!r} holds scores such as {max(values):g}. Predictions "
        "of another program? Then move this file away. If its rows are labels that are there, "
        f"say --ignore-column {header!r}"
    )
