"""Annotations of Apple's Create ML: a list of pictures, each with its labels or objects."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, first_record

NAME = "Create ML's annotations"
PICTURE_KEYS = ("image", "imagefilename", "filename")
LABEL_KEYS = ("annotations", "annotation")


def is_it(content: dict | list) -> bool:
    first = first_record(content)
    return any(key in first for key in PICTURE_KEYS) and any(
        isinstance(first.get(key), list) for key in LABEL_KEYS
    )


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    for place, entry in enumerate(content):
        names = [entry[key] for key in PICTURE_KEYS if key in entry]
        lists = [entry[key] for key in LABEL_KEYS if key in entry]
        if not names or not lists:
            raise ValueError(f"entry {place} has no image, or no annotations")
        labels = {_label(annotation) for annotation in lists[0]}
        for label in sorted(labels) or [""]:
            yield LabelRow(names[0], file.split, label)


def _label(annotation: dict | str) -> str:
    return annotation if isinstance(annotation, str) else annotation["label"]
