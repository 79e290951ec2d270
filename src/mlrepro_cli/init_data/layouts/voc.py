"""Lists of the VOC challenges (Everingham et al. 2010): a file a class and part, a line a picture.

`cat_train.txt` holds lines such as `000012  1`: 1 the class is there, -1 it is not, 0 it is there
but hard to see, which is taken as absent.
"""

import re
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.data.formats.csv_table import SPLITS
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "VOC's lists"
LIST = re.compile(r"ImageSets/Main/[^/]+_(train|val|trainval|test)\.txt$")
THERE = 1


def matches(file: LabelFile) -> bool:
    return LIST.search(file.place) is not None


def read(file: LabelFile) -> Iterator[LabelRow]:
    label, _, part = file.path.stem.rpartition("_")
    # trainval, which is none of SPLITS, is for training where train and val do not say otherwise.
    split = SPLITS.get(part, "train")

    for line in read_text(file.path, "").splitlines():
        image, flag = line.split()
        positive = int(flag) == THERE
        yield LabelRow(f"JPEGImages/{image}.jpg", split, label if positive else "")
