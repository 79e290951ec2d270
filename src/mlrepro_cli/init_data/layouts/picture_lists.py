"""A list of pictures a label, `cat.txt` with a picture's name a line: only where the user says so.

Such a list may be of a part, or of pictures that somebody has chosen for anything else.
"""

import re
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.beside_pictures import masks_beside
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.init_data.split_words import split_word
from mlrepro_cli.pictures import is_picture

NAME = "a list of pictures a label"
OPTION = "lists"
SUFFIX = ".txt"
# The number at the end of a name.
NUMBERED = re.compile(r"\d+$")
SHOWN = 3


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a label of each picture; a picture that stands in no list of a label has none."""
    if folder.answers.layout != OPTION:
        return
    of_labels = []
    parts: dict[str, str] = {}
    for file, names in lists_of_pictures(folder):
        split = split_word(file.path.stem)
        if split:
            parts |= {_own_name(name): split for name in names}
        else:
            of_labels.append((file, names))

    labelled = set()
    for file, names in of_labels:
        for name in names:
            own = _own_name(name)
            labelled.add(own)
            yield LabelRow(name, parts.get(own, ""), file.path.stem, source=file.place)

    masks, line = masks_beside(folder.pictures)
    if line:
        folder.note(line)
    without = [
        picture
        for picture in folder.pictures
        if _own_name(picture) not in labelled and picture not in masks
    ]
    for picture in without:
        yield LabelRow(picture, parts.get(_own_name(picture), ""), "")
    if without:
        folder.note(f"{len(without)} pictures stand in no list: taken as no label")


def hint(folder: UserFolder) -> list[str]:
    """A clause where there are such lists."""
    lists = lists_of_pictures(folder)
    places = [file.place for file, _ in lists if not split_word(file.path.stem)]
    if len(places) < 2:
        return []
    return [
        f"{', '.join(places[:SHOWN])} are lists of pictures: if each is of a label, say --layout "
        f"{OPTION}"
    ]


def lists_of_pictures(folder: UserFolder) -> list[tuple[LabelFile, list[str]]]:
    """Texts with nothing but names of pictures, a line each."""
    found = []
    word = _word_before_numbers(folder)
    for file in folder.files:
        if not file.place.lower().endswith(SUFFIX):
            continue
        try:
            lines = read_text(file.path, "").splitlines()
        except InputError:
            continue  # what is no text lists no pictures

        names = [line.strip() for line in lines if line.strip()]
        names = [f"{word}{name}" if name.isdecimal() else name for name in names]
        if names and all(is_picture(name) or _own_name(name) in folder.stems for name in names):
            found.append((file, names))
    return found


def _word_before_numbers(folder: UserFolder) -> str:
    """`im`, where all pictures are called im1, im2 and so on, and lists may say 1 and 2."""
    words = {NUMBERED.sub("", name) for name in folder.stems}
    return words.pop() if len(words) == 1 else ""


def _own_name(name: str) -> str:
    """Without folders and suffix."""
    return stem(name.replace("\\", "/").rpartition("/")[2])
