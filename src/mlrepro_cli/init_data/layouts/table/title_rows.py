"""Rows above the header of a table: its title, and headings of groups of columns."""

from collections.abc import Sequence

from mlrepro_cli.init_data.layouts.table.headers import IMAGE_WORDS, is_any, label_family
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.pictures import is_picture

# A table has no more rows above its header.
MOST = 10

# The cells of a row, "" where there is nothing.
Cells = Sequence[str]


def count_title_rows(rows: Sequence[Cells], pictures: Sequence[str]) -> int:
    """How many of the rows stand above the header.

    The header is the row above the first that names a picture. Where none does, it is the first of
    several cells.
    """
    rows = rows[: MOST + 2]
    if len(rows) < 3 or _names_all(rows[0]):
        return 0
    stems = Stems(pictures)
    of_pictures = [place for place, row in enumerate(rows) if _names_picture(row, stems)]
    if of_pictures:
        header = of_pictures[0] - 1
    else:
        header = next((place for place, row in enumerate(rows) if len(_filled(row)) > 1), 0)

    if header < 1 or not _may_be_header(rows[header]) or _is_header(rows[0], rows[header]):
        return 0
    most = max(len(set(_filled(row))) for row in rows[:header])
    return header if most < len(_filled(rows[header])) else 0


def title_of(rows: Sequence[Cells]) -> str:
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
