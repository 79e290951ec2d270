"""Opens a file as the table that its name says it is."""

import re
from pathlib import PurePosixPath

from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.delimited import read_delimited
from mlrepro_cli.init_data.layouts.table.pictures import Stems
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
    ".xlsx": read_workbook,
    ".xlsm": read_workbook,
    ".xls": refuse_old_workbook,
}
PACKED = ".gz"
# Packed or binary: whether they name pictures cannot be seen from outside.
WORKBOOKS = (".xlsx", ".xlsm", ".xls")

# A picture's name in the first bytes of a file of any encoding.
PICTURE = re.compile(
    rb"(%s)\b" % b"|".join(re.escape(suffix).encode() for suffix in SUFFIXES), re.IGNORECASE
)
FIRST_BYTES = 10_000
SAMPLE_LINES = 50


def may_be_table(file: LabelFile) -> bool:
    return _suffix(file) in READERS


def open_table(file: LabelFile, stems: Stems) -> Sheet | None:
    """None for a file that does not concern the pictures. Raises InputError for a damaged table.

    stems: the pictures, by their names without suffix.
    """
    content = read_bytes(file.path)
    suffix = _suffix(file)
    start = content[:FIRST_BYTES].replace(b"\0", b"")  # of UTF-16
    if not file.given and not _concerns_pictures(suffix, start, stems):
        return None
    try:
        return READERS[suffix](file, content)
    except InputError:
        names_pictures = PICTURE.search(content) or _begins_with_names(start, stems)
        if file.given or names_pictures or suffix in WORKBOOKS:
            raise
        print(f"{file.path}: left out, no table of pictures")
        return None


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
    firsts = [re.split(r"[\s,;|]", line.strip(), maxsplit=1)[0] for line in lines if line.strip()]
    named = [first for first in firsts if stems.has(first) and not first.isdecimal()]
    return len(named) > len(firsts) / 2
