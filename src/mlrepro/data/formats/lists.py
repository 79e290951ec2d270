"""JSON lists of pictures with a label an object, which deep-object-reid reads.

The numbers of the AAM paper (Prokofiev & Sovrasov 2022) are made with them.
"""

import json
from pathlib import Path
from typing import NamedTuple

from mlrepro.data.formats.catalogue import Format, names_a_training_split
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import picture_path, read_text, sort_names
from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.data import ListsData


class JsonList(NamedTuple):
    """One file: the class names, sorted, and each picture's path and labels, one an object."""

    classes: list[str]
    images: list[tuple[str, list[str]]]


def read(settings: ListsData, root: Path) -> Listing:
    """Rows in the order of the lists, classes sorted.

    A repeated label counts once, and in `instances` each time.
    """
    lists = {name: _load(root / name) for name in settings.splits.values()}
    # The longest, so that the message names the list that lacks a class.
    classes = max((content.classes for content in lists.values()), key=len)

    pictures = []
    for split, name in settings.splits.items():
        if lists[name].classes != classes:
            raise InputError(
                f"{root / name}: other classes than in the other lists; "
                "all splits share them: mend `splits`"
            )
        pictures += _pictures_of_list(settings, root, split, lists[name])
    return Listing(pictures, classes)


def _pictures_of_list(
    settings: ListsData, root: Path, split: str, content: JsonList
) -> list[ListedPicture]:
    part = settings.splits[split]
    class_index = {name: index for index, name in enumerate(content.classes)}
    pictures = []
    for number, (image, labels) in enumerate(content.images, 1):
        where = f"{root / part}, picture {number} ({image})"
        unknown = set(labels) - class_index.keys()
        if unknown:
            label = min(unknown)
            raise InputError(
                f"{where}: {label!r} is not in `classes`; {nearest(label, content.classes)}"
            )

        # Lists with a label an object repeat it: a picture has it once, `instances` counts them.
        objects = [class_index[label] for label in labels]
        pictures.append(
            ListedPicture(
                image=picture_path(settings.pictures, image, where),
                part=part,
                split=split,
                labels=sorted(set(objects)),
                instances=objects,
            )
        )
    return pictures


def _load(path: Path) -> JsonList:
    """Read one list; labels that are numbers (VG500) become text."""
    text = read_text(path, "mend `splits`, or place the list there")
    try:
        content = json.loads(text)
        images = [_image(path, labels) for path, labels in content["images"]]
        classes = sort_names({str(name) for name in content["classes"]})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: expected {{'classes': [...], 'images': [[path, [label, ...]], ...]}} "
            f"({error!r}); fetch the list again"
        ) from None
    return JsonList(classes, images)


def _image(path: str, labels: list) -> tuple[str, list[str]]:
    path += ""  # a TypeError, which `_load` words, where it is no text
    return path, [str(label) for label in labels]


FORMAT = Format(read=read, is_trained_on=names_a_training_split)
