"""Ids that join a picture and a label, `ID_0a1b_epidural`, in a row for each picture and label.

Beside them stands whether the label is there: 1 or 0, or a region that is drawn or not.
"""

import re
from collections import Counter
from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.table.delimited import told_apart
from mlrepro_cli.init_data.layouts.table.marks import row_states
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

# What stands between a picture's id and a label.
MARKS = re.compile("[-_ :/|]")
# As many ids must begin with the name of a picture that is there.
MOST = 1 / 2
# What the columns are called that the ids are taken apart into.
PICTURE, LABEL, STATE = "image", "label", "present"
SHOWN = 3


def take_apart(sheet: Sheet, stems: Stems) -> Sheet | None:
    """The table with a column of pictures and one of labels; None where no column joins them.

    Raises Question where one does, and it is not clear which labels are there.
    """
    for header in sheet.headers:
        pairs = _pairs(sheet.column(header), stems)
        if pairs is not None:
            return _with_columns(sheet, header, pairs)
    return None


def _pairs(cells: list[str], stems: Stems) -> list[tuple[str, str]] | None:
    """Picture and label of each id; None for a column of anything else."""
    known = [_picture_and_label(cell, stems) for cell in cells]
    counts = Counter(label for _, label in filter(None, known))
    if len(counts) < 2 or counts.total() <= MOST * len(cells):
        return None

    # Pictures that are not here have the labels of the others.
    pairs = []
    for cell, pair in zip(cells, known, strict=True):
        pairs.append(pair or _with_label_of(cell, counts))
    return None if None in pairs else pairs


def _picture_and_label(cell: str, stems: Stems) -> tuple[str, str] | None:
    """An id taken apart where it is longest a picture's name, as a label may hold the mark."""
    for match in reversed(list(MARKS.finditer(cell))):
        picture, label = cell[: match.start()], cell[match.end() :]
        if label and stems.has(picture):
            return picture, label
    return None


def _with_label_of(cell: str, labels: Counter[str]) -> tuple[str, str] | None:
    for label in sorted(labels, key=len, reverse=True):
        picture = cell.removesuffix(label)
        if picture != cell and MARKS.fullmatch(picture[-1:]):
            return picture[:-1], label
    return None


def _with_columns(sheet: Sheet, header: str, pairs: list[tuple[str, str]]) -> Sheet:
    others = [other for other in sheet.headers if other != header]
    found = [(other, states) for other, states in _states(sheet, others)]
    example = f"{sheet.column(header)[0]!r} is {pairs[0][0]!r} and {pairs[0][1]!r}"
    pictures, labels = ({pair[place] for pair in pairs} for place in (0, 1))
    if len(found) != 1 or len(set(pairs)) < len(pictures) * len(labels):
        raise Question(
            f"{sheet.file.path}: column {header!r} seems to join pictures and labels ({example}); "
            "write them into two columns, headed image and label, with a row for each label that "
            "is there"
        )

    [(state_header, states)] = found
    print(
        f"{sheet.file.path}: column {header!r} joins pictures and labels: {example}; whether the "
        f"label is there stands in {state_header!r}"
    )
    kept = [other for other in others if other != state_header]
    headers, repeated = told_apart([PICTURE, LABEL, STATE, *kept])
    rows = [
        [*pair, state, *sheet.cells(row, tuple(kept))]
        for pair, state, row in zip(pairs, states, sheet.rows, strict=True)
    ]
    return Sheet(sheet.file, headers, rows, sheet.numbers, sheet.unit, repeated)


def _states(sheet: Sheet, headers: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Columns that say whether the label of a row is there, as cells of 1 and 0."""
    for header in headers:
        cells = sheet.column(header)
        if row_states(cells) is not None:
            yield header, cells
        elif _are_regions(cells):
            yield header, ["1" if cell else "0" for cell in cells]


def _are_regions(cells: list[str]) -> bool:
    """Whether cells hold several numbers, as a region's runs of pixels, or nothing."""
    filled = [cell for cell in cells if cell]
    are_runs = all(re.fullmatch(r"\d+( \d+)+", cell) for cell in filled)
    return 0 < len(filled) < len(cells) and are_runs
