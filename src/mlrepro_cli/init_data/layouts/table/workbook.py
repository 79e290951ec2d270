"""Excel's workbooks (.xlsx): XML in a ZIP archive, ECMA-376."""

import io
import posixpath
import re
import zipfile
import zlib
from dataclasses import replace
from xml.etree import ElementTree

from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.delimited import told_apart
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.text import MOST_BYTES
from mlrepro_cli.init_data.layouts.table.title_rows import MOST, find_header
from mlrepro_cli.init_data.split_words import split_in_path

BOOK = "xl/workbook.xml"
BOOK_PARTS = "xl/_rels/workbook.xml.rels"
TEXTS = "xl/sharedStrings.xml"
PART_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# The letters of a cell's place, such as AB12.
COLUMN = re.compile("[A-Z]+")
# Of cells that are one, such as A2:A7.
MERGED = re.compile(r"([A-Z]+)(\d+):[A-Z]+(\d+)")
# Excel's own limit.
MOST_COLUMNS = 16_384
MARKS = {"1": "TRUE", "0": "FALSE"}
# What a damaged or encrypted archive and what is in it raise.
DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError)
DAMAGED += (ElementTree.ParseError, LookupError, ValueError)


# The number of a row, and its texts by column.
Row = tuple[int, dict[int, str]]


def read_workbook(file: LabelFile, content: bytes) -> dict[str, Sheet]:
    """Its sheets by name, those that hold something. Raises InputError for what is no workbook."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            places = _sheet_places(archive)
            texts = _texts(archive)
            cells = {name: _cells(_xml(archive, place), texts) for name, place in places.items()}
    except DAMAGED as error:
        raise InputError(
            f"{file.path}: no Excel file that can be read ({error}); save it as `CSV UTF-8`"
        ) from None

    filled = {
        name: [(number, row) for number, row in rows if any(row.values())]
        for name, rows in cells.items()
    }
    filled = {name: rows for name, rows in filled.items() if rows}
    if not filled:
        raise InputError(
            f"{file.path}: all of its sheets are empty ({', '.join(cells)}); give the table itself"
        )
    if len(filled) == 1:
        [(name, rows)] = filled.items()
        return {name: _sheet(file, rows, "row")}
    return {
        # A sheet may be called train or test.
        name: _sheet(
            replace(file, split=split_in_path(name) or file.split), rows, f"sheet {name!r}, row"
        )
        for name, rows in filled.items()
    }


def _sheet(file: LabelFile, rows: list[Row], unit: str) -> Sheet:
    if file.answers.header:
        header = dict(enumerate(file.answers.header))
    else:
        (_, header), *rows = _without_title(file, rows)
    columns = sorted({column for _, row in rows for column in row} | set(header))
    headers = [header.get(column) or f"column {column + 1}" for column in columns]
    headers, repeated = told_apart(headers)
    return Sheet(
        file,
        headers,
        [[row.get(column, "") for column in columns] for _, row in rows],
        [number for number, _ in rows],
        unit,
        repeated,
    )


def _without_title(file: LabelFile, rows: list[Row]) -> list[Row]:
    """Without rows above the header, such as a title."""
    width = 1 + max(column for _, row in rows for column in row)
    cells = [[row.get(column, "") for column in range(width)] for _, row in rows[: MOST + 2]]
    header = find_header(cells, file.pictures)
    if header.title:
        print(f"{file.path}: above the header, not read: {header.title!r}")
    if header.names:
        number, _ = rows[header.above]
        return [(number, dict(enumerate(header.names))), *rows[header.above + 1 :]]
    return rows[header.above :]


def refuse_old_workbook(file: LabelFile, content: bytes) -> Sheet:
    """Raises InputError: the format of Excel 97 is not read."""
    raise InputError(
        f"{file.path}: Excel's format of before 2007 is not read; save it as `CSV UTF-8` or .xlsx"
    )


def _sheet_places(archive: zipfile.ZipFile) -> dict[str, str]:
    """Places in the archive by name, in the book's order."""
    sheets = _xml(archive, BOOK).findall(f".//{_any('sheet')}")
    targets = {part.get("Id"): part.get("Target") for part in _xml(archive, BOOK_PARTS)}
    places = {}
    for sheet in sheets:
        target = targets.get(sheet.get(PART_ID))
        if target is None:
            continue
        # Below xl/, or from the archive's root.
        place = posixpath.normpath(posixpath.join("/xl", target)).removeprefix("/")
        places[sheet.get("name", "")] = place
    return places


def _xml(archive: zipfile.ZipFile, place: str) -> ElementTree.Element:
    if archive.getinfo(place).file_size > MOST_BYTES:
        raise ValueError(f"{place} has more than {MOST_BYTES:,} bytes")
    return ElementTree.fromstring(archive.read(place))


def _any(tag: str) -> str:
    """The tag in any namespace."""
    return "{*}" + tag


def _texts(archive: zipfile.ZipFile) -> list[str]:
    """Texts that cells name by their number."""
    if TEXTS not in archive.namelist():
        return []
    return [_text(entry) for entry in _xml(archive, TEXTS)]


def _text(entry: ElementTree.Element) -> str:
    """Of one piece, or of several with formats of their own; without how it is pronounced."""
    pieces = [entry, *entry.findall(_any("r"))]
    found = [piece.findtext(_any("t")) for piece in pieces]
    return "".join(text for text in found if text)


def _cells(sheet: ElementTree.Element, texts: list[str]) -> list[Row]:
    rows = []
    for position, row in enumerate(sheet.findall(f".//{_any('row')}"), start=1):
        cells: dict[int, str] = {}
        for cell in row.findall(_any("c")):
            # A cell without a place is the next one.
            place = COLUMN.match(cell.get("r", ""))
            column = _number(place[0]) if place else len(cells)
            cells[column] = _value(cell, texts).strip()
        rows.append((int(row.get("r", position)), cells))
    _fill_merged(sheet, dict(rows))
    return rows


def _fill_merged(sheet: ElementTree.Element, rows: dict[int, dict[int, str]]) -> None:
    """Writes what a cell over several rows says into each of them.

    A title goes over several columns, and is none of theirs.
    """
    last_row = max(rows, default=0)
    for merged in sheet.findall(f".//{_any('mergeCell')}"):
        place = MERGED.match(merged.get("ref", ""))
        if place is None:
            continue
        column, first, last = _number(place[1]), int(place[2]), int(place[3])
        text = rows.get(first, {}).get(column)
        for number in range(first + 1, min(last, last_row) + 1):
            if text and number in rows:
                rows[number][column] = text


def _number(letters: str) -> int:
    """0 for A, 26 for AA."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    if number > MOST_COLUMNS:
        raise ValueError(f"column {letters}")
    return number - 1


def _value(cell: ElementTree.Element, texts: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        inline = cell.find(_any("is"))
        return "" if inline is None else _text(inline)
    value = cell.findtext(_any("v")) or ""
    if kind == "s":
        return texts[int(value)]
    if kind == "b":
        return MARKS[value]
    # #N/A and the like are as good as empty.
    return "" if kind == "e" else value
