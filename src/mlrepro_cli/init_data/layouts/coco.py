"""Annotations of COCO (Lin et al. 2014): one JSON with images, categories and objects.

Also what tools write in this form: Roboflow, CVAT, Label Studio, LVIS, panoptic segments.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import (
    ABSENT,
    LabelFile,
    LabelRow,
    UserFolder,
    first_record,
    unlabelled,
)
from mlrepro_cli.init_data.name_forms import without_decimals
from mlrepro_cli.init_data.split_words import split_word

NAME = "COCO's annotations"
# Beside instances, these say the same or nothing of labels.
OTHERS = re.compile(r"^(captions|person_keypoints|panoptic|stuff)_")
INSTANCES = re.compile(r"^instances_")
CALLED_COCO = re.compile(r"^instances|coco[^/]*\.json$")
PARTS = ("images", "categories", "annotations")
# Keys of an image that may say where its file is, likeliest first.
NAME_KEYS = ("file_name", "filename", "path", "coco_url", "flickr_url", "url")


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return False
    if not isinstance(content.get("categories"), list):
        return False
    images = content["images"]
    return not images or (isinstance(images[0], dict) and "id" in images[0])


def is_known_without_labels(file: LabelFile, folder: UserFolder) -> bool:
    """Whether it is one of COCO's own files beside instances, which are hundreds of megabytes."""
    if file.given or not OTHERS.search(file.path.name):
        return False
    return any(
        INSTANCES.search(other.path.name) and other.path.parent == file.path.parent
        for other in folder.files
    )


def are_results(content: dict | list) -> bool:
    """Whether they are detections in the form in which COCO's server takes them."""
    return {"image_id", "category_id", "score"} <= set(first_record(content))


def why_without_labels(file: LabelFile, content: dict | list) -> str:
    """A clause on a JSON file that is like COCO's and has no labels; "" for others.

    Raises ValueError for one that is called as COCO's are.
    """
    if isinstance(content, list):
        return ""
    others = [key for key in PARTS if key in content and not isinstance(content[key], list)]
    if others and set(PARTS) <= set(content):
        return f"it has COCO's keys, but `{others[0]}` is no list"
    lists = [key for key in ("images", "annotations") if isinstance(content.get(key), list)]
    if len(lists) == 2:
        return "it has images and annotations as COCO's has, but no categories (captions?)"
    if CALLED_COCO.search(file.path.name):
        raise ValueError("it has no lists of images and categories")
    return ""


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    labels = _labels(_objects(content, "categories"))
    names, given_twice = _names(_objects(content, "images"))
    annotations = _objects(content, "annotations")
    _refuse_predictions(file, annotations)
    if not annotations:
        yield from (unlabelled(name, file.split) for name in names.values())
        return

    of_image: dict[str, set[str]] = defaultdict(set)
    for place, annotation in enumerate(annotations):
        of_image[_image(annotation, place, names)] |= _labels_of(annotation, place, labels)
    _refuse_two_of_a_name(given_twice, of_image)

    absent = _said_to_be_absent(file, content["images"], labels)
    splits = _splits(content["images"])
    for image, name in names.items():
        split = splits.get(image, file.split)
        # Pictures without an object stay, as pictures without a label.
        for label in sorted(of_image[image]) or [""]:
            yield LabelRow(name, split, label)
        for label in sorted(absent[image] - of_image[image]):
            yield LabelRow(name, split, label, ABSENT)


def _objects(content: dict, key: str) -> list[dict]:
    """A list of the file; none where it is not there, as in parts of competitions."""
    entries = content.get(key) or []
    for place, entry in enumerate(entries):
        if not isinstance(entries, list) or not isinstance(entry, dict):
            raise ValueError(f"`{key}` has {entry!r} at {place}; expected a list of objects")
    return entries


def _refuse_predictions(file: LabelFile, annotations: list[dict]) -> None:
    """Raises Question where each object has a score, as another program's have."""
    scores = [annotation.get("score") for annotation in annotations]
    if file.given or not scores or not all(isinstance(score, float) for score in scores):
        return
    if min(scores) < 1:
        raise Question(
            f"{file.path}: its objects have scores such as {min(scores):g}, as predictions of "
            "another program have. Move it away, or, where these are labels, name it: mlrepro "
            f"init-data {file.path}"
        )


def _key(number: int | float | str) -> str:
    """An id as text: some tools write numbers as text, and pandas whole numbers as 1.0."""
    return without_decimals(str(number))


def _labels(categories: list[dict]) -> dict[str, str]:
    """Names of categories by their ids as text."""
    labels: dict[str, str] = {}
    for category in categories:
        if not category.get("name"):
            raise ValueError(f"category {category.get('id')} has no name")
        key, name = _key(category["id"]), str(category["name"])
        if labels.setdefault(key, name) != name:
            raise ValueError(f"category {key} is called {labels[key]!r} and {name!r}")
    return labels


def _names(images: list[dict]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Names of pictures by the ids of images; and ids by those names that several have."""
    names: dict[str, str] = {}
    ids: dict[str, list[str]] = defaultdict(list)
    for place, image in enumerate(images):
        given = [str(image[key]) for key in NAME_KEYS if image.get(key)]
        if not given:
            raise ValueError(f"image {image.get('id', place)} has no file_name")

        key = _key(image["id"])
        name = given[0]
        if names.setdefault(key, name) != name:
            raise ValueError(f"two images have the id {key}: {names[key]} and {name}")
        if key not in ids[name]:
            ids[name].append(key)
    return names, {name: of_name for name, of_name in ids.items() if len(of_name) > 1}


def _splits(images: list[dict]) -> dict[str, str]:
    """The parts of images by their ids, of those that say one, as Karpathy's files do."""
    splits = {}
    for image in images:
        said = image.get("split", image.get("subset", ""))
        # restval: what is left of validation, for training.
        split = "train" if said == "restval" else split_word(str(said))
        if split:
            splits[_key(image["id"])] = split
    return splits


def _image(annotation: dict, place: int, names: dict[str, str]) -> str:
    image = _key(annotation["image_id"])
    if image not in names:
        raise ValueError(
            f"annotation {annotation.get('id', place)} is of image {image}, which `images` does "
            "not list"
        )
    return image


def _labels_of(annotation: dict, place: int, labels: dict[str, str]) -> set[str]:
    """One of an object; several of a panoptic picture, which has segments."""
    found = set()
    for entry in annotation.get("segments_info", [annotation]):
        if "category_id" not in entry:
            raise ValueError(f"annotation {annotation.get('id', place)} has no category_id")
        category = _key(entry["category_id"])
        if category not in labels:
            raise ValueError(
                f"annotation {annotation.get('id', place)} is of category {category}, which "
                f"`categories` does not list (it lists {', '.join(list(labels)[:5])}, ...)"
            )
        found.add(labels[category])
    return found


def _refuse_two_of_a_name(given_twice: dict[str, list[str]], of_image: dict) -> None:
    for name, images in given_twice.items():
        if len({frozenset(of_image[image]) for image in images}) > 1:
            raise ValueError(
                f"images {' and '.join(images[:2])} are both called {name}, and have different "
                "labels; write the folder into file_name"
            )


def _said_to_be_absent(
    file: LabelFile, images: list[dict], labels: dict[str, str]
) -> dict[str, set[str]]:
    """Labels that LVIS (Gupta et al. 2019) says to be absent; of all others nobody knows."""
    absent: dict[str, set[str]] = defaultdict(set)
    for image in images:
        for category in image.get("neg_category_ids", []):
            absent[_key(image["id"])].add(labels[_key(category)])
    if absent and not (file.answers.partial or file.answers.complete):
        raise Question(
            f"{file.path}: neg_category_ids (as of LVIS) say that only some labels were looked for "
            "in a picture: say --partial, so that the others are unknown, or --complete"
        )
    return absent
