"""KITTI's texts (Geiger et al. 2012), which NVIDIA's TAO takes, too: `label_2/000001.txt`.

A line is `Car 0.00 0 -1.82 587 173 614 200 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59`: the class, then
fourteen numbers, and in results a score.
"""

import re
from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.object_texts import CLASS, ObjectLine, read_texts
from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder

NAME = "KITTI's text files"
OPTION = "kitti"
NUMBER = r"\s+[-+]?[\d.]+(?:[eE][-+]?\d+)?"
LINE = re.compile(rf"{CLASS}(?:{NUMBER}){{14}}(?P<score>{NUMBER})?")
# A region that nobody has looked at.
NOT_LOOKED_AT = "dontcare"


def read(folder: UserFolder) -> Iterator[LabelRow]:
    yield from read_texts(folder, _parse, OPTION)


def _parse(line: str) -> ObjectLine | None:
    match = LINE.fullmatch(line)
    if match is None:
        return None
    label = match["label"]
    is_object = label.lower() != NOT_LOOKED_AT
    return ObjectLine(label if is_object else "", score=match["score"] is not None)
