"""Labels in the names of files, `cat_001.jpg` or `001_cat.jpg`: only where the user says so.

Such words may be a camera's or a person's as well.
"""

import re
from collections import Counter
from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.init_data.split_words import split_in_path

NAME = "words in the names of files"
OPTION = "file-names"
# `cat.12`, `Abyssinian_1`, `dog (3)`: words, then a number.
WORDS_AND_NUMBER = re.compile(r"([^\W\d_][^\d]*?)[ ._(-]*\d+\)?$")
# `12_cat`: a number, then words.
NUMBER_AND_WORDS = re.compile(r"\d+[ ._-]+([^\W\d_][^\d]*)$")
SHOWN = 3


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a picture and label; pictures without such a word are noted."""
    if folder.answers.layout != OPTION:
        return
    counts: Counter[str] = Counter()
    without = []
    for picture in folder.pictures:
        words = words_of(picture)
        if not words:
            without.append(picture)
            continue
        split = split_in_path(picture.rpartition("/")[0])
        separator = folder.answers.separator
        for label in words.split(separator) if separator else [words]:
            if label.strip():
                counts[label.strip()] += 1
                yield LabelRow(picture, split, label.strip())

    shown = ", ".join(f"{label} ({count})" for label, count in counts.most_common(SHOWN))
    folder.note(f"Words in the names of files taken as labels: {shown}, ...")
    if without:
        folder.note(f"{len(without)} pictures have no such word, left out: {without[0]}")


def words_of(picture: str) -> str:
    """The words before or behind the number in a picture's name; "" where there are none."""
    name = stem(picture.rpartition("/")[2])
    match = WORDS_AND_NUMBER.match(name) or NUMBER_AND_WORDS.match(name)
    return match[1] if match else ""
