"""MS-COCO instance annotations as picture labels, with captions."""

import contextlib
import io
from collections.abc import Container, Iterator
from pathlib import Path

from pycocotools.coco import COCO

from mlrepro.data.formats.catalogue import Format, names_a_training_split
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.settings.data import CocoData, CocoPart


def read(settings: CocoData, root: Path) -> Listing:
    """A class is positive where a picture has at least one object of it: crowds and small ones too.

    `row_order: id_text` sorts the ids as strings, as Cole et al. 2021 do ("100012" before "99999");
    the corruption and the hold-out follow the row order.
    """
    pictures = []
    classes = None
    for split, part in settings.splits.items():
        path = root / part.instances
        instances = _load(path)
        categories = _categories(instances, settings.class_order)
        names = [instances.cats[key]["name"] for key in categories]

        # Compared by name: other ids of the same classes do no harm.
        if classes is not None and names != classes:
            raise InputError(
                f"{path}: other categories than in the files before it; all splits of a "
                f"data set share their classes: mend `splits`"
            )
        classes = names
        pictures += _pictures_of_part(settings, root, split, instances, categories)
    return Listing(pictures, classes)


def _categories(instances: COCO, order: str) -> list[int]:
    """Category ids in class order."""
    if order == "category_id":
        return sorted(instances.cats)
    return sorted(instances.cats, key=lambda key: instances.cats[key]["name"])


def _pictures_of_part(
    settings: CocoData, root: Path, split: str, instances: COCO, categories: list[int]
) -> list[ListedPicture]:
    part = settings.splits[split]
    path = root / part.instances
    objects = _objects(instances, path, categories)
    captions = _captions(root, part, instances)

    # Which pictures count depends on the paper: COCO has some without any object.
    kept = {key for key in objects if objects[key] or settings.unannotated == "keep"}
    if settings.uncaptioned == "drop":
        kept &= captions.keys()
    if not kept:
        raise InputError(
            f"{path}: no picture is left for the split {split!r}; "
            "mend `splits`, `unannotated` or `uncaptioned`"
        )
    if len(kept) < len(objects):
        lacking = "annotation"
        if settings.uncaptioned == "drop":
            lacking += " or no caption"
        print(
            f"{path.name}: {len(objects) - len(kept)} of {len(objects)} pictures have no {lacking} "
            f"and are left out (unannotated: {settings.unannotated})"
        )

    return [
        ListedPicture(
            image=f"{part.images}/{instances.imgs[key]['file_name']}",
            part=part.images,
            split=split,
            labels=sorted(set(objects[key])),
            captions=captions.get(key, []),
            instances=objects[key],
        )
        for key in sorted(kept, key=str if settings.row_order == "id_text" else None)
    ]


def _objects(instances: COCO, path: Path, categories: list[int]) -> dict[int, list[int]]:
    """Picture id -> a class index an object, of every picture that the file lists."""
    class_index = {category: index for index, category in enumerate(categories)}
    objects = {key: [] for key in instances.imgs}
    for annotation in _annotations(instances, path, "category_id", instances.imgs):
        category = annotation["category_id"]
        if category not in class_index:
            raise InputError(
                f"{path}: annotation {annotation.get('id')} has category {category}, "
                f"which `categories` does not list; fetch the file again"
            )
        objects[annotation["image_id"]].append(class_index[category])
    return objects


def _captions(root: Path, part: CocoPart, instances: COCO) -> dict[int, list[str]]:
    """Picture id -> its captions, of the pictures that have any."""
    if not part.captions:
        return {}

    path = root / part.captions
    captions = {}
    for annotation in _annotations(_load(path), path, "caption", instances.imgs):
        captions.setdefault(annotation["image_id"], []).append(annotation["caption"].strip())
    return captions


def _annotations(file: COCO, path: Path, field: str, known: Container[int]) -> Iterator[dict]:
    """The annotations, each checked to have `field` and to be of a known picture."""
    # Not of `file.anns`: it is keyed by id, and files of careless converters repeat one id.
    for annotation in file.dataset.get("annotations", []):
        if field not in annotation:
            raise InputError(
                f"{path}: annotation {annotation.get('id')} has no {field!r}; "
                f"are `instances` and `captions` exchanged?"
            )
        if annotation["image_id"] not in known:
            raise InputError(
                f"{path}: annotation {annotation.get('id')} is of picture "
                f"{annotation['image_id']}, which `images` does not list; "
                "fetch the annotations again"
            )
        yield annotation


def _load(path: Path) -> COCO:
    if is_something_else(path):
        raise InputError(f"{path}: no regular file; put the file itself there")

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its timings
            file = COCO(str(path))
        _require(file.imgs, "file_name")
        _require(file.cats, "name")
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; mend `splits`, or fetch and unpack the archives again"
        ) from None
    except (ValueError, AssertionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a COCO annotation file ({error!r}); fetch it again"
        ) from None
    return file


def _require(entries: dict[int, dict], key: str) -> None:
    if any(key not in entry for entry in entries.values()):
        raise KeyError(key)


FORMAT = Format(read=read, is_trained_on=names_a_training_split)
