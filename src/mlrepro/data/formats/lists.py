"""JSON lists of pictures with a label an object: deep-object-reid's, which the AAM paper's numbers are made with."""

import json
from pathlib import Path

from mlrepro.data.formats import Listing, picture_path, read_text, sort_names, table
from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.data import ListsData


def read(settings: ListsData, root: Path) -> Listing:
    """Rows in the order of the lists, classes sorted. A repeated label counts once, and in `instances` each time."""
    rows, lists = [], {name: _load(root / name) for name in settings.splits.values()}
    classes = max((names for names, _ in lists.values()), key=len)
    index = {label: position for position, label in enumerate(classes)}
    for split, name in settings.splits.items():
        if lists[name][0] != classes:
            raise InputError(
                f"{root / name}: other classes than in the other lists; all splits share them: mend `splits`"
            )
        for number, (image, labels) in enumerate(lists[name][1], 1):
            where = f"{root / name}, picture {number} ({image})"
            if unknown := set(labels) - index.keys():
                raise InputError(
                    f"{where}: {min(unknown)!r} is not in `classes`; {nearest(min(unknown), classes)}"
                )
            objects = [index[label] for label in labels]
            rows.append(
                (
                    picture_path(settings.pictures, image, where),
                    name,
                    split,
                    sorted(set(objects)),
                    [],
                    [],
                    [],
                    objects,
                )
            )
    return table(rows, "instances"), classes


def _load(path: Path) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Class names, sorted, and (path, labels) of every picture; labels that are numbers (VG500) as text."""
    try:
        content = json.loads(read_text(path, "mend `splits`, or place the list there"))
        images = [
            (image + "", [str(label) for label in labels]) for image, labels in content["images"]
        ]
        return sort_names({str(name) for name in content["classes"]}), images
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected {{'classes': [...], 'images': [[path, [label, ...]], ...]}} ({error!r}); "
            f"fetch the list again"
        ) from None
