"""COCO's annotations (instances_*.json) as labels of pictures: at least one object of a category.

Also in the archive as it is downloaded. Pictures without any object are pictures without a label.
"""

import json
import zipfile
from typing import Any

import numpy as np

from mlrepro.audit.picture_ids import shown
from mlrepro.audit.tables import NEGATIVE, POSITIVE, LabelTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place, open_bytes

INSTANCES = "instances_"
# Which of several files in an archive is meant by a split.
PARTS = {"test": "val", "val": "val", "train": "train", "trainval": "train"}
# What is read of each entry, beside what may be missing.
FIELDS = {
    "images": ["id"],
    "categories": ["id", "name"],
    "annotations": ["image_id", "category_id"],
}


def read(place: Place, split: str | None) -> LabelTable:
    content = _load(place, split)
    categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
    numbers = sorted(categories)
    place_of = {number: place for place, number in enumerate(numbers)}
    images = content["images"]
    rows = {entry["id"]: row for row, entry in enumerate(images)}

    states = np.full((len(images), len(numbers)), NEGATIVE, np.int8)
    for annotation in content["annotations"]:
        row = rows.get(annotation["image_id"])
        column = place_of.get(annotation["category_id"])
        if row is None or column is None:
            raise InputError(
                f"{place}: annotation {annotation.get('id')} is of picture "
                f"{annotation['image_id']} and category {annotation['category_id']}, one of which "
                "is not listed; fetch the file again"
            )
        states[row, column] = POSITIVE

    return LabelTable(
        source=str(place),
        ids=[str(entry["id"]) for entry in images],
        classes=[categories[number] for number in numbers],
        states=states,
        other_ids=[str(entry.get("file_name", entry["id"])) for entry in images],
        categories=numbers,
    )


def is_in(names: list[str]) -> bool:
    return any(INSTANCES in name and name.endswith(".json") for name in names)


def _load(place: Place, split: str | None) -> dict[str, Any]:
    """Checked to have what is read."""
    try:
        content = json.loads(_bytes(place, split))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON ({error}); fetch it again") from None
    if isinstance(content, list):
        raise InputError(f"{place}: a list of results, no labels; are scores and labels exchanged?")

    try:
        for key, names in FIELDS.items():
            for entry in content[key]:
                for name in names:
                    _ = entry[name]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{place}: not an annotation file of instances ({error!r}): it has images, categories, "
            "and annotations with image_id and category_id"
        ) from None
    return content


def _bytes(place: Place, split: str | None) -> bytes:
    if not place.is_archive:
        with open_bytes(place.path) as file:
            return file.read()

    with zipfile.ZipFile(place.path) as opened:
        names = [name for name in opened.namelist() if name.endswith(".json")]
        wanted = place.part or _member(place, names, split)
        if wanted not in names:
            raise InputError(f"{place}: no such file in it; there are {shown(names)}")
        return opened.read(wanted)


def _member(place: Place, names: list[str], split: str | None) -> str:
    instances = [name for name in names if INSTANCES in name]
    part = PARTS.get(split or "test", split)
    of_split = [name for name in instances if f"{INSTANCES}{part}" in name]
    if len(of_split) != 1:
        raise InputError(
            f"{place.path}: holds {shown(instances)}; name one: {place.path}#{instances[0]}"
        )
    return of_split[0]
