"""JSON of one's own: names of pictures with their labels, or labels with names of pictures."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import ABSENT, LabelFile, LabelRow
from mlrepro_cli.init_data.layouts.table.separators import find_separator, split_field
from mlrepro_cli.init_data.split_words import split_word
from mlrepro_cli.pictures import is_picture

NAME = "JSON of names and labels"


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    # {"train": [...], "val": [...]}: a table of parts.
    if len(content) > 1 and all(map(split_word, content)):
        return False
    return _are_pictures(content) and _are_labels(content) or _is_turned(content)


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    if _is_turned(content):
        for label, pictures in content.items():
            for picture in pictures:
                yield LabelRow(picture, file.split, label)
        return

    separator = _separator(file, content)
    for picture, value in content.items():
        if isinstance(value, dict):
            yield from _from_marks(file, picture, value)
            continue
        labels = split_field(value.strip(), separator) if isinstance(value, str) else value
        for label in labels or [""]:
            yield LabelRow(picture, file.split, label)


def _separator(file: LabelFile, content: dict) -> str:
    """What stands between labels where a picture has a text, as in {"1.jpg": "cat, dog"}."""
    if file.answers.separator is not None:
        return file.answers.separator
    texts = [value.strip() for value in content.values() if isinstance(value, str)]
    return find_separator(texts, str(file.path), a_row_a_label=False)


def _from_marks(file: LabelFile, picture: str, marks: dict) -> Iterator[LabelRow]:
    """{label: 1, other label: 0}."""
    for label, mark in marks.items():
        if mark not in (0, 1):
            raise ValueError(f"{picture} has {mark!r} for {label!r}; expected 0 or 1")
        yield LabelRow(picture, file.split, label if mark else label, int(mark) or ABSENT)
    if not marks:
        yield LabelRow(picture, file.split, "")


def _are_pictures(names) -> bool:
    return all(isinstance(name, str) and is_picture(name) for name in names)


def _are_labels(content: dict) -> bool:
    return all(
        isinstance(value, str)
        or (isinstance(value, list) and all(isinstance(label, str) for label in value))
        or (isinstance(value, dict) and all(isinstance(mark, int) for mark in value.values()))
        for value in content.values()
    )


def _is_turned(content: dict) -> bool:
    """{"cat": ["1.jpg", ...]}."""
    lists = list(content.values())
    return all(isinstance(names, list) and names and _are_pictures(names) for names in lists)
