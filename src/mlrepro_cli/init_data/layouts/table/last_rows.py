"""What stands below a table: a row that adds up its columns, and notes, as spreadsheets have it."""

from dataclasses import replace

from mlrepro_cli.init_data.layouts.table.marks import PRESENT_MARKS, plain_mark
from mlrepro_cli.init_data.layouts.table.numbers import number
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.name_forms import is_picture_name

WORDS = frozenset(
    "total totals sum sums count counts summe gesamt insgesamt anzahl somme totale suma".split()
)
# Without a word for it, as many sums are hardly there by chance.
LEAST_SUMS = 2
LEAST_ROWS = 3


def without_last_rows(sheet: Sheet, stems: Stems) -> Sheet:
    """The table without notes below it, and a row of sums above these; both are printed."""
    while len(sheet.rows) >= LEAST_ROWS and _is_note(sheet.rows[-1], stems):
        sheet = _without_last(sheet, "a note")
    if len(sheet.rows) >= LEAST_ROWS and _adds_up(sheet):
        return _without_last(sheet, "it adds up the rows above")
    return sheet


def _without_last(sheet: Sheet, reason: str) -> Sheet:
    shown = ", ".join(cell for cell in sheet.rows[-1] if cell)
    print(f"{sheet.where(len(sheet.rows) - 1)}: not read, {reason} ({shown})")
    return replace(sheet, rows=sheet.rows[:-1], numbers=sheet.numbers[:-1])


def _is_note(row: list[str], stems: Stems) -> bool:
    """Whether it has nothing but several words in its first cell, which are no picture's name."""
    first, *others = row
    is_alone = bool(others) and " " in first and not any(others)
    return is_alone and not is_picture_name(first) and not stems.has(first)


def _adds_up(sheet: Sheet) -> bool:
    """Whether all that the last row holds is sums of its columns, beside a word for them."""
    *above, last = sheet.rows
    has_word = False
    sums = 0
    for place, cell in enumerate(last):
        value = number(cell)
        if cell.casefold().rstrip(": ") in WORDS:
            has_word = True
        elif value is not None and value in _sums([row[place] for row in above]):
            sums += value > 1
        elif cell:
            return False
    return has_word and sums > 0 or sums >= LEAST_SUMS and not last[0]


def _sums(cells: list[str]) -> set[float]:
    """What a column may add up to: its numbers, its marks, or its cells that are not empty."""
    numbers = [number(cell) or 0 for cell in cells]
    present = sum(plain_mark(cell) in PRESENT_MARKS for cell in cells)
    return {sum(numbers), present, sum(map(bool, cells))}
