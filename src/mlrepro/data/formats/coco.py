"""MS-COCO instance annotations as picture labels, with captions."""

import json
from collections.abc import Iterator
from pathlib import Path

from mlrepro.config_data import CocoData, CocoPart
from mlrepro.data.formats import Listing, read_text, table
from mlrepro.errors import InputError


def read(settings: CocoData, root: Path) -> Listing:
    """A class is positive where a picture has at least one object of it: crowds count, no limit on the area.

    `row_order: id_text` sorts the ids as strings, as Cole et al. 2021 do ("100012" before "99999"); the corruption and
    the hold-out follow the row order.
    """
    rows, classes = [], None
    for split, part in settings.splits.items():
        images, categories, annotations = _load(root / part.instances)
        keys = sorted(categories, key=None if settings.class_order == "category_id" else categories.get)
        names = [categories[key] for key in keys]
        if classes is not None and names != classes:
            raise InputError(f"{root / part.instances}: other categories than in the files before it; all splits of a "
                             f"data set share their classes: mend `splits`")
        classes = names
        rows += _part_rows(settings, root, split, part, images, annotations, keys)
    return table(rows, "instances"), classes


def _part_rows(settings: CocoData, root: Path, split: str, part: CocoPart, images: dict[int, str], annotations: list[dict],
               categories: list[int]) -> list[tuple]:
    path = root / part.instances
    index = {key: position for position, key in enumerate(categories)}
    objects = {key: [] for key in images}
    for annotation in _checked(annotations, path, "category_id", images):
        if annotation["category_id"] not in index:
            raise InputError(f"{path}: annotation {annotation.get('id')} has category {annotation['category_id']}, "
                             f"which `categories` does not list; fetch the file again")
        objects[annotation["image_id"]].append(index[annotation["category_id"]])
    captions = {}
    if part.captions:
        for annotation in _checked(_load(root / part.captions)[2], root / part.captions, "caption", images):
            captions.setdefault(annotation["image_id"], []).append(annotation["caption"].strip())
    kept = {key for key in objects if objects[key] or settings.unannotated == "keep"}
    keys = sorted(kept if settings.uncaptioned == "keep" else kept & captions.keys(),
                  key=str if settings.row_order == "id_text" else None)
    if not keys:
        raise InputError(f"{path}: no picture is left for the split {split!r}; mend `splits`, `unannotated` or `uncaptioned`")
    if len(keys) < len(objects):
        lacks = "annotation" + " or no caption" * (settings.uncaptioned == "drop")
        print(f"{path.name}: {len(objects) - len(keys)} of {len(objects)} pictures have no {lacks} and are left out "
              f"(unannotated: {settings.unannotated})")
    return [(f"{part.images}/{images[key]}", part.images, split, sorted(set(objects[key])), [], [],
             captions.get(key, []), objects[key]) for key in keys]


def _checked(annotations: list[dict], path: Path, field: str, known: dict[int, str]) -> Iterator[dict]:
    """The annotations, each checked to have `field` and a listed picture. Their own ids may repeat."""
    for annotation in annotations:
        if field not in annotation:
            raise InputError(f"{path}: annotation {annotation.get('id')} has no {field!r}; "
                             f"are `instances` and `captions` exchanged?")
        if annotation.get("image_id") not in known:
            raise InputError(f"{path}: annotation {annotation.get('id')} is of picture {annotation.get('image_id')}, "
                             f"which `images` does not list; fetch the annotations again")
        yield annotation


def _load(path: Path) -> tuple[dict[int, str], dict[int, str], list[dict]]:
    """Picture id -> file name, category id -> name, and the annotations as they are."""
    text = read_text(path, "mend `splits`, or fetch and unpack the archives again")
    try:
        content = json.loads(text)
        images = {entry["id"]: entry["file_name"] for entry in content.get("images", [])}
        categories = {entry["id"]: entry["name"] for entry in content.get("categories", [])}
        return images, categories, content.get("annotations", [])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a COCO annotation file ({error!r}); fetch it again") from None
