"""Columns that repeat their header where it holds: options of a question, of survey tools."""

from dataclasses import replace

from mlrepro_cli.init_data.layouts.table.headers import label_family
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

PRESENT = "x"


def with_marks_of_options(sheet: Sheet) -> Sheet:
    """The table with a mark in place of `cat` below `cat`; prints of which columns."""
    options = [header for header in sheet.headers if _repeats_header(sheet, header)]
    if not options:
        return sheet

    places = {sheet.headers.index(header) for header in options}
    rows = [
        [PRESENT if place in places and cell else cell for place, cell in enumerate(row)]
        for row in sheet.rows
    ]
    print(
        f"{sheet.file.path}: {options[0]!r} stands below {options[0]!r} where it is there, and so "
        f"in {len(options)} columns"
    )
    return replace(sheet, rows=rows)


def _repeats_header(sheet: Sheet, header: str) -> bool:
    """Whether a column holds its header, and nothing where that does not hold."""
    place = sheet.headers.index(header)
    first = next((row[place] for row in sheet.rows if row[place]), "")
    if first.casefold() != header.casefold() or label_family(header):
        return False
    cells = {cell.casefold() for cell in sheet.column(header)}
    return cells == {header.casefold(), ""}
