"""A text a picture, `1.txt` beside `1.jpg`, with its labels: only where the user says so.

Such a text may be a caption as well, which has commas, too.
"""

import re
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.yolo import NUMBER, texts_of_pictures
from mlrepro_cli.init_data.split_words import split_in_path

NAME = "a text of labels a picture"
OPTION = "texts"
# What stands between labels, unless the user says it; a line's end does so, too.
SEPARATOR = ","
# Of a line that is shown.
LONGEST = 60


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a label of each picture that has a text. A picture with an empty one has no label."""
    if folder.answers.layout != OPTION:
        return
    separator = folder.answers.separator or SEPARATOR
    for picture, file in texts_of_pictures(folder).items():
        text = read_text(file.path, "").replace("\n", separator)
        labels = {label.strip() for label in text.split(separator)} - {""}
        split = split_in_path(picture.rpartition("/")[0])
        for label in sorted(labels) or [""]:
            yield LabelRow(picture, split, label, source=file.place)


def hint(folder: UserFolder) -> list[str]:
    """A clause where there are such texts."""
    texts = texts_of_pictures(folder)
    if not texts:
        return []
    first_lines = ((file, _first_line(file)) for file in texts.values())
    file, line = next((entry for entry in first_lines if entry[1]), (None, ""))
    words = [word for word in re.split(r"[\s,;]+", line) if word]
    are_numbers = 2 * sum(NUMBER.match(word) is not None for word in words) > len(words)
    if file and are_numbers:
        return [
            f"{len(texts)} texts are called as their pictures are, with lines such as "
            f"{line[:LONGEST]!r} ({file.place}), of no kind that is known here: write them as "
            "YOLO's or COCO's"
        ]
    return [
        f"{len(texts)} texts are called as their pictures are: if they hold labels with commas "
        f"between them, say --layout {OPTION}"
    ]


def _first_line(file: LabelFile) -> str:
    """That with something in it; "" of what is no text."""
    try:
        lines = read_text(file.path, "").splitlines()
    except InputError:
        return ""
    return next((line.strip() for line in lines if line.strip()), "")
