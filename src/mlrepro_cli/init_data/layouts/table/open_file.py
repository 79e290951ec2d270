"""Opens a file as the table that its name says it is."""

import re
from pathlib import PurePosixPath

from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.class_names import is_numbered_names
from mlrepro_cli.init_data.layouts.table.delimited import read_delimited
from mlrepro_cli.init_data.layouts.table.pictures import Stems, find_picture_columns
from mlrepro_cli.init_data.layouts.table.records import (
    read_json,
    read_json_lines,
    read_parquet,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.text import read_bytes
from mlrepro_cli.init_data.layouts.table.workbook import read_workbook, refuse_old_workbook
from mlrepro_cli.pictures import SUFFIXES

READERS = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".parquet": read_parquet,
    ".xls": refuse_old_workbook,
}
# Of several sheets each.
BOOKS = (".xlsx", ".xlsm")
PACKED = ".gz"
# Packed or binary: whether they name pictures cannot be seen from outside.
BINARY = (*BOOKS, ".xls", ".parquet")

# A picture's name in the first bytes of a file of any encoding.
PICTURE = re.compile(
    rb"(%s)\b" % b"|".join(re.escape(suffix).encode() for suffix in SUFFIXES), re.IGNORECASE
)
FIRST_BYTES = 10_000
SAMPLE_LINES = 50


class NamesNoPicture(InputError):
    """A table that cannot be read, and in which no name of a picture was found."""


def may_be_table(file: LabelFile) -> bool:
    """Not the file by which Excel says who has opened a workbook."""
    if file.path.name.startswith("~$"):
        return False
    return _suffix(file) in (*READERS, *BOOKS)


def open_tables(file: LabelFile, stems: Stems) -> list[Sheet]:
    """One, or those of a workbook; none for a file that does not concern the pictures.

    stems: the pictures, by their names without suffix. Raises InputError for a damaged table, and
    NamesNoPicture for one that may be of anything else.
    """
    content = read_bytes(file.path)
    suffix = _suffix(file)
    start = content[:FIRST_BYTES].replace(b"\0", b"")  # of UTF-16
    if not file.given and not _concerns_pictures(suffix, start, stems):
        return []
    try:
        if suffix in BOOKS:
            return _of_pictures(file, read_workbook(file, content), stems)
        sheet = READERS[suffix](file, content)
        return [] if sheet is None else [sheet]
    except InputError as error:
        names_pictures = PICTURE.search(content) or _begins_with_names(start, stems)
        if file.given or names_pictures or suffix in BINARY:
            raise
        raise NamesNoPicture(str(error)) from None


def _of_pictures(file: LabelFile, sheets: dict[str, Sheet], stems: Stems) -> list[Sheet]:
    """Those of a workbook's sheets that name pictures or classes; the first where none does."""
    named = {
        name: sheet
        for name, sheet in sheets.items()
        if is_numbered_names(sheet) or find_picture_columns(sheet, stems, file.answers)
    }
    if not named:
        named = dict([next(iter(sheets.items()))])
    others = [repr(name) for name in sheets if name not in named]
    if others:
        read = ", ".join(map(repr, named))
        print(f"{file.path}: of its sheets, {read} is read, and {', '.join(others)} left out")
    return list(named.values())


def _suffix(file: LabelFile) -> str:
    """In small letters, and without the .gz behind it."""
    return PurePosixPath(file.place.lower().removesuffix(PACKED)).suffix


def _concerns_pictures(suffix: str, start: bytes, stems: Stems) -> bool:
    """Of files that may be anything, whether they begin as a table of pictures does."""
    if suffix == ".txt":
        if start.lstrip().startswith(b"{"):
            return False
        return PICTURE.search(start) is not None or _begins_with_names(start, stems)
    if suffix == ".json":
        return start.lstrip()[:1] in (b"[", b"{")
    return True


def _begins_with_names(start: bytes, stems: Stems) -> bool:
    """Whether most lines begin with a picture's name without its suffix."""
    lines = start.decode("utf-8", errors="replace").splitlines()[:SAMPLE_LINES]
    filled = [line.strip() for line in lines if line.strip()]
    named = 0
    for line in filled:
        first = re.split(r"[\s,;|]", line, maxsplit=1)[0]
        # A number may be a picture's name, and anything else.
        named += stems.has(first) and (not first.isdecimal() or stems.has_long_number(first))
    return named > len(filled) / 2
