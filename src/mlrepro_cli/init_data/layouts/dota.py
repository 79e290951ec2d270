"""DOTA's texts (Xia et al. 2018): `labelTxt/P0001.txt`, with four corners a line.

A line is `937 913 921 912 923 874 940 875 small-vehicle 0`: the corners, the class, and whether the
object is difficult, which then is unknown, as VOC's are.
"""

import re
from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.object_texts import CLASS, ObjectLine, read_texts
from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder

NAME = "DOTA's text files"
OPTION = "dota"
CORNERS = r"(?:[-+]?[\d.]+\s+){8}"
LINE = re.compile(rf"{CORNERS}{CLASS}(?:\s+(?P<difficult>[012]))?")


def read(folder: UserFolder) -> Iterator[LabelRow]:
    yield from read_texts(folder, _parse, OPTION)


def _parse(line: str) -> ObjectLine | None:
    match = LINE.fullmatch(line)
    if match is None:
        return None
    return ObjectLine(match["label"], difficult=match["difficult"] in ("1", "2"))
