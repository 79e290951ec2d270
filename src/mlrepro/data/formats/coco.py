"""MS-COCO instance annotations as picture labels, with captions."""

import contextlib
import io
from pathlib import Path

from pycocotools.coco import COCO

from mlrepro.data.formats import Listing, table
from mlrepro.errors import InputError
from mlrepro.settings.data import CocoData, CocoPart


def read(settings: CocoData, root: Path) -> Listing:
    """A class is positive where a picture has at least one object of it: crowds count, no limit on the area.

    `row_order: id_text` sorts the ids as strings, as Cole et al. 2021 do ("100012" before "99999"); the corruption and
    the hold-out follow the row order.
    """
    rows, classes = [], None
    for split, part in settings.splits.items():
        instances = _load(root / part.instances)
        by_id = settings.class_order == "category_id"
        categories = sorted(
            instances.cats,
            key=None if by_id else lambda key, cats=instances.cats: cats[key]["name"],
        )
        names = [instances.cats[key]["name"] for key in categories]
        if classes is not None and names != classes:
            raise InputError(
                f"{root / part.instances}: other categories than in the files before it; all splits of a "
                f"data set share their classes: mend `splits`"
            )
        classes = names
        rows += _part_rows(settings, root, split, part, instances, categories)
    return table(rows, "instances"), classes


def _part_rows(
    settings: CocoData, root: Path, split: str, part: CocoPart, instances, categories: list[int]
):
    path = root / part.instances
    index = {key: position for position, key in enumerate(categories)}
    objects = {key: [] for key in instances.imgs}
    for annotation in _annotations(instances, path, "category_id", instances.imgs):
        if annotation["category_id"] not in index:
            raise InputError(
                f"{path}: annotation {annotation.get('id')} has category {annotation['category_id']}, "
                f"which `categories` does not list; fetch the file again"
            )
        objects[annotation["image_id"]].append(index[annotation["category_id"]])
    captions = {}
    if part.captions:
        for annotation in _annotations(
            _load(root / part.captions), root / part.captions, "caption", instances.imgs
        ):
            captions.setdefault(annotation["image_id"], []).append(annotation["caption"].strip())
    kept = {key for key in objects if objects[key] or settings.unannotated == "keep"}
    keys = sorted(
        kept if settings.uncaptioned == "keep" else kept & captions.keys(),
        key=str if settings.row_order == "id_text" else None,
    )
    if not keys:
        raise InputError(
            f"{path}: no picture is left for the split {split!r}; mend `splits`, `unannotated` or `uncaptioned`"
        )
    if len(keys) < len(objects):
        lacks = "annotation" + " or no caption" * (settings.uncaptioned == "drop")
        print(
            f"{path.name}: {len(objects) - len(keys)} of {len(objects)} pictures have no {lacks} and are left out "
            f"(unannotated: {settings.unannotated})"
        )
    return [
        (
            f"{part.images}/{instances.imgs[key]['file_name']}",
            part.images,
            split,
            sorted(set(objects[key])),
            [],
            [],
            captions.get(key, []),
            objects[key],
        )
        for key in keys
    ]


def _annotations(file, path: Path, field: str, known):
    """The annotations, each checked to have `field` and a listed picture. Not `file.anns`: it loses repeated ids."""
    for annotation in file.dataset.get("annotations", []):
        if field not in annotation:
            raise InputError(
                f"{path}: annotation {annotation.get('id')} has no {field!r}; "
                f"are `instances` and `captions` exchanged?"
            )
        if annotation["image_id"] not in known:
            raise InputError(
                f"{path}: annotation {annotation.get('id')} is of picture {annotation['image_id']}, "
                f"which `images` does not list; fetch the annotations again"
            )
        yield annotation


def _load(path: Path):
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its timings
            file = COCO(str(path))
        for key, entries in (("file_name", file.imgs), ("name", file.cats)):
            if any(key not in entry for entry in entries.values()):
                raise KeyError(key)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; mend `splits`, or fetch and unpack the archives again"
        ) from None
    except (ValueError, AssertionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a COCO annotation file ({error!r}); fetch it again"
        ) from None
    return file
