"""Rows above the header of a table: its title, and headings of groups of columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlrepro_cli.init_data.layouts.table.headers import IMAGE_WORDS, is_any, label_family
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.pictures import is_picture

# A table has no more rows above its header.
MOST = 10

# The cells of a row, "" where there is nothing.
Cells = Sequence[str]


@dataclass(frozen=True)
class Header:
    """Where a header stands, and what it says.

    above: how many rows stand above it; of a header in two rows, above the second.
    names: of a header in two rows, those of both; else nothing.
    title: what the rows above say, for the user.
    """

    above: int = 0
    names: tuple[str, ...] = ()
    title: str = ""


def find_header(rows: Sequence[Cells], pictures: Sequence[str]) -> Header:
    """The header is the row above the first that names a picture.

    Where none does, it is the first of several cells.
    """
    rows = rows[: MOST + 2]
    if len(rows) < 3 or _names_all(rows[0]):
        return Header()
    stems = Stems(pictures)
    of_pictures = [place for place, row in enumerate(rows) if _names_picture(row, stems)]
    if of_pictures:
        place = of_pictures[0] - 1
    else:
        place = next((place for place, row in enumerate(rows) if len(_filled(row)) > 1), 0)
    if place < 1 or not _may_be_header(rows[place]):
        return Header()

    both = _both(rows[place - 1], rows[place])
    if both and of_pictures:
        return Header(place, both, _title_of(rows[: place - 1]))
    most = max(len(set(_filled(row))) for row in rows[:place])
    if _is_header(rows[0], rows[place]) or most >= len(_filled(rows[place])):
        return Header()
    return Header(place, title=_title_of(rows[:place]))


def _both(upper: Cells, lower: Cells) -> tuple[str, ...]:
    """The names of a header in two rows, the second with the options of a question; else nothing.

    Each has names that the other lacks.
    """
    width = max(len(upper), len(lower))
    above, below = ([*row, *[""] * (width - len(row))] for row in (upper, lower))
    pairs = list(zip(above, below, strict=True))
    only_above = [one for one, other in pairs if one and not other]
    only_below = [other for one, other in pairs if other and not one]

    names = tuple(other or one for one, other in pairs)
    filled = _filled(names)
    are_different = len(set(filled)) == len(filled)
    return names if only_above and only_below and are_different else ()


def _title_of(rows: Sequence[Cells]) -> str:
    return " ".join(cell for row in rows for cell in _filled(row))


def _filled(row: Cells) -> list[str]:
    return [cell for cell in row if cell]


def _names_all(row: Cells) -> bool:
    """Whether it has a name of its own for each column."""
    return all(row) and len(set(row)) == len(row) > 1


def _is_header(row: Cells, below: Cells) -> bool:
    """Whether it has a name of pictures, or that of labels beside names of rows without one.

    A cell that goes over two rows of headings stands in both.
    """
    filled = _filled(row)
    if len(filled) == 1:
        return not row[0] and label_family(filled[0]) is not None
    return any(is_any(cell, IMAGE_WORDS) and cell not in below for cell in filled)


def _may_be_header(row: Cells) -> bool:
    filled = _filled(row)
    are_words = not any(is_picture(cell) or cell.replace(".", "").isdecimal() for cell in filled)
    return len(filled) > 1 and len(set(filled)) == len(filled) and are_words


def _names_picture(row: Cells, stems: Stems) -> bool:
    """A number may be a picture's name, and anything else."""
    return any(is_picture(cell) or (not cell.isdecimal() and stems.has(cell)) for cell in row)
