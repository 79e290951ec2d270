"""The VGG Image Annotator's CSV: a row a region, whose attributes are JSON in a cell."""

import csv
import io
import json
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.init_data.layouts.via import read_entries

NAME = "VIA's CSV"
REGION, FILE = "region_attributes", "file_attributes"
HEAD = 1000


def matches(file: LabelFile) -> bool:
    """By its header."""
    if not file.place.lower().endswith(".csv"):
        return False
    try:
        with file.path.open("rb") as opened:
            header = opened.read(HEAD).partition(b"\n")[0].decode("utf-8", errors="replace")
    except OSError:
        return False
    return REGION in header and FILE in header


def read(file: LabelFile) -> Iterator[LabelRow]:
    """A row a label; a picture without a region has a row of its own there."""
    text = read_text(file.path, "").lstrip("\ufeff")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    # The first header is `#filename` in older files.
    first = (reader.fieldnames or [""])[0]

    entries: dict[str, dict] = {}
    for row in reader:
        where = f"{file.path}, line {reader.line_num}"
        entry = entries.setdefault(row[first], {"filename": row[first], "regions": []})
        entry["file_attributes"] = _attributes(row[FILE], where)
        entry["regions"].append({"region_attributes": _attributes(row[REGION], where)})
    yield from read_entries(file, list(entries.values()))


def _attributes(cell: str | None, where: str) -> dict:
    try:
        found = json.loads(cell or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{where}: {cell!r} is no JSON object of attributes; export it again")
    return found
