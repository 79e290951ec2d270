"""VOC (Everingham et al. 2010): a list a class and part, or an XML a picture, or both.

Lists are `ImageSets/Main/cat_train.txt`, with lines such as `000012  1`: 1 the class is there, -1
it is not, 0 it is there but hard to see, which is unknown. An XML's object that is marked difficult
is unknown likewise. Lists go first: an XML is read only of pictures that no list of a class has.
"""

import re
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import (
    ABSENT,
    PRESENT,
    UNKNOWN,
    LabelFile,
    LabelRow,
    UserFolder,
    unlabelled,
)
from mlrepro_cli.init_data.layouts.voc_xml import annotation_files, read_annotation
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.init_data.split_words import split_word

NAME = "VOC's lists or XML"
# Of a part, or of a class and part.
LIST = re.compile(r"^(|.*/)ImageSets/(Main/)?(?P<name>[^/]+)\.txt$")
STATES = {"1": PRESENT, "+1": PRESENT, "-1": ABSENT, "0": UNKNOWN}
# trainval repeats train and val: a picture is of the first part that lists it.
BOTH = "trainval"
SHOWN = 3


def read(folder: UserFolder) -> Iterator[LabelRow]:
    lists = _lists(folder)
    parts: dict[tuple[str, str], tuple[str, str]] = {}
    rows = []
    for file, label, split in lists:
        if label:
            rows += _class_list(file, label, split)
        else:
            for name in _names(file):
                parts.setdefault((_base(file.place), name), (split, file.place))
    yield from rows

    # Challenges of several years may lie beside each other, with pictures of one name.
    bases = {_base(file.place) for file, _, _ in lists}
    listed = {(_base(row.source), stem(row.image).rpartition("/")[2]) for row in rows}
    files = annotation_files(folder)
    described = set()
    not_listed = []
    read_files = 0
    for file in files:
        above = [base for base in bases if file.place.startswith(base)]
        key = (max(above, key=len, default=""), file.path.stem)
        if key in listed:
            continue
        if above and not folder.given and key not in parts:
            not_listed.append(file.place)
            continue
        described.add(key)
        read_files += 1
        split, _ = parts.get(key, (file.split, ""))
        yield from read_annotation(folder, file, split)
    _say_what_was_read(folder, bool(rows) and len(files) > read_files, read_files, not_listed)

    # Parts without labels, as those of a competition's test.
    if rows or described:
        for key, (split, place) in parts.items():
            if key not in listed and key not in described:
                yield unlabelled(_picture(place, key[1]), split, place)


def _lists(folder: UserFolder) -> list[tuple[LabelFile, str, str]]:
    """Each list with its class, which is "" for one of a part alone, and its split."""
    found = []
    for file in folder.files:
        match = LIST.search(file.place)
        if not match:
            continue
        label, _, part = match["name"].rpartition("_")
        split = "train" if part == BOTH else split_word(part)
        if split:
            found.append((file, label, split))
    return sorted(found, key=lambda entry: entry[0].path.stem.endswith(BOTH))


def _class_list(file: LabelFile, label: str, split: str) -> Iterator[LabelRow]:
    """The last word is the flag; a picture's name may hold spaces."""
    for number, line in enumerate(read_text(file.path, "").splitlines(), start=1):
        if not line.strip():
            continue
        name, flag = (["", *line.strip().rsplit(maxsplit=1)])[-2:]
        if not name or flag not in STATES:
            raise InputError(
                f"{file.path}: cannot be read as VOC's lists (line {number}: {line.strip()!r}; "
                "expected the name of a picture and 1, 0 or -1); mend it or move it away"
            )
        image = _picture(file.place, name)
        state = STATES[flag]
        yield LabelRow(image, split, label, state, source=file.place)


def _names(file: LabelFile) -> list[str]:
    lines = [line.strip() for line in read_text(file.path, "").splitlines()]
    return [stem(line).rpartition("/")[2] for line in lines if line]


def _picture(place: str, name: str) -> str:
    """A picture's name below the root of the challenge's folder: any suffix does."""
    return f"{_base(place)}JPEGImages/{name}"


def _base(place: str) -> str:
    """The challenge's folder, which a list's path begins with; "" or with a slash at the end."""
    return place.partition("ImageSets/")[0]


def _say_what_was_read(
    folder: UserFolder, lists_go_first: bool, read_files: int, not_listed: list[str]
) -> None:
    if lists_go_first:
        folder.note("Lists of classes say the labels; the XML of pictures in them is not read")
    if read_files:
        folder.note(f"{read_files} XML files are read; an object that is difficult is unknown")
    if not_listed:
        shown = ", ".join(not_listed[:SHOWN])
        folder.note(f"{len(not_listed)} XML files of pictures in no list, left out: {shown}")
