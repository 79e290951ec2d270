"""Google's Vertex AI and AutoML: `TRAINING,gs://bucket/1.jpg,cat,dog`, without a header."""

import csv
import io
import re
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, unlabelled
from mlrepro_cli.init_data.split_words import split_word

NAME = "Vertex AI's CSV"
# Without the first, Vertex draws the parts itself.
FIRST = re.compile(
    rb'(?:\xef\xbb\xbf)?"?((train|training|validation|test|unassigned)?"?,)?"?gs://', re.I
)
BUCKET = "gs://"
# Of the corners of a box.
PLACES = 8
CORNER = re.compile(r"[\d.]*")
HEAD = 1000


def matches(file: LabelFile) -> bool:
    """By its first line, which names a picture in a bucket."""
    if not file.place.lower().endswith(".csv") or file.answers.header:
        return False
    try:
        with file.path.open("rb") as opened:
            return FIRST.match(opened.read(HEAD)) is not None
    except OSError:
        return False


def read(file: LabelFile) -> Iterator[LabelRow]:
    rows = csv.reader(io.StringIO(read_text(file.path, "").lstrip("\ufeff"), newline=""))
    for number, cells in enumerate(rows, start=1):
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        part = "" if cells[0].startswith(BUCKET) else cells.pop(0)
        if not cells or not cells[0].startswith(BUCKET):
            raise ValueError(f"row {number} names no picture in a bucket (gs://...)")
        picture, *rest = cells
        # A box has one label, and behind it its corners, some of which may be empty.
        is_box = len(rest) > PLACES and all(map(CORNER.fullmatch, rest[1:]))
        labels = rest[:1] if is_box else rest
        split = split_word(part) or file.split
        for label in sorted({*labels} - {""}):
            yield LabelRow(picture, split, label)
        if not any(labels):
            yield unlabelled(picture, split)
