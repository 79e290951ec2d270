"""What a table says of train, val and test."""

from mlrepro.data.formats.csv_table import SPLITS
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts.table.headers import PARTITION, flagged_split, words
from mlrepro_cli.init_data.layouts.table.marks import (
    ABSENT_MARKS,
    PRESENT_MARKS,
    plain_mark,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.split_words import splits_of

SHOWN = 4
EXAMPLES = ("train", "val", "test")


def find_split_column(sheet: Sheet, headers: list[str], answers: Answers, ask: bool) -> str | None:
    """One of the headers, which are all headed as splits are.

    ask: raises Question where what they say is no split.
    """
    if answers.split_column == "":
        return None
    by_header = {header: read_splits(sheet, header) for header in headers}
    readable = [header for header, splits in by_header.items() if splits is not None]
    if ask and any(by_header[header] != by_header[readable[0]] for header in readable):
        options = " or ".join(f"--split-column {header!r}" for header in readable)
        raise Question(
            f"{sheet.file.path}: columns {', '.join(readable)} say different splits; write one "
            f"column with {', '.join(EXAMPLES)}, or say which is right: {options}"
        )
    if readable:
        return readable[0]
    if headers and ask:
        cells = sorted(set(sheet.column(headers[0])))
        shown = ", ".join(cell or "nothing" for cell in cells[:SHOWN])
        raise Question(
            f"{sheet.file.path}: column {headers[0]!r} holds {shown}, and these are not words for "
            f"train, val and test; write {', '.join(EXAMPLES)}, or say "
            f"--split-column '' to leave it aside, or --labels-column {headers[0]!r} where it "
            f"holds labels, or --mark-column {headers[0]!r} where it is one"
        )
    return None


def read_splits(sheet: Sheet, header: str) -> list[str] | None:
    """train, val or test for each row; none where a cell says something else."""
    cells = sheet.column(header)
    flag = flagged_split(header)
    if flag:
        splits = {cell: _split_of_flag(cell, flag) for cell in set(cells)}
    elif words(header)[-1:] == ["partition"] and set(cells) <= set(PARTITION):
        splits = PARTITION
    else:
        splits = splits_of(set(cells))

    by_row = [splits.get(cell) for cell in cells]
    return None if None in by_row else by_row


def _split_of_flag(cell: str, flag: str) -> str | None:
    """is_valid: yes is val, no is train; is_train: yes is train, no is test."""
    mark = plain_mark(cell)
    if mark in PRESENT_MARKS:
        return SPLITS[flag]
    if mark in ABSENT_MARKS:
        return "test" if SPLITS[flag] == "train" else "train"
    return None
