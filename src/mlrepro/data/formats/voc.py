"""PASCAL VOC classification lists: ImageSets/Main/<class>_<set>.txt."""

from pathlib import Path
from xml.etree import ElementTree

from mlrepro.data.formats import Listing, read_text, table
from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.data import VocData


def read(settings: VocData, root: Path) -> Listing:
    """Rows sorted by file name within a set, sets in the order of the settings; classes in the order of the settings. A list says
    1 (positive), -1 (negative) or 0 (difficult: there, but hard to see), and `settings.difficult` says what 0 counts as:
    published numbers disagree on it."""
    rows = []
    for split, parts in settings.splits.items():
        rule = (
            settings.difficult
            if isinstance(settings.difficult, str)
            else settings.difficult.get(split)
        )
        if rule is None:
            raise InputError(
                f"difficult: says nothing about the split {split!r}; give negative, positive or ignore"
            )
        for part in [parts] if isinstance(parts, str) else parts:
            rows += _part_rows(settings, root, split, part, rule)
    return table(rows, "instances"), list(settings.classes)


def _part_rows(settings: VocData, root: Path, split: str, part: str, rule: str) -> list[tuple]:
    lists = root / settings.root / "ImageSets" / "Main"
    values = [_class_list(lists, name, part) for name in settings.classes]
    images = values[0].keys()
    for name, of_class in zip(settings.classes, values, strict=True):
        for image in of_class.keys() ^ images:
            raise InputError(
                f"{lists / f'{name}_{part}.txt'}: lists other pictures than "
                f"{settings.classes[0]}_{part}.txt does, e.g. {image}; unpack the archive again"
            )
    rows = []
    for image in sorted(images, key=lambda image: f"{image}.jpg"):
        flags = [of_class[image] for of_class in values]
        positive = [
            index
            for index, flag in enumerate(flags)
            if flag == 1 or (flag == 0 and rule == "positive")
        ]
        difficult = [index for index, flag in enumerate(flags) if flag == 0]
        ignored = difficult if rule == "ignore" else []
        objects = _objects(settings, root, image, rule) if split == "train" else []
        rows.append(
            (
                f"{settings.root}/JPEGImages/{image}.jpg",
                part,
                split,
                positive,
                difficult,
                ignored,
                [],
                objects,
            )
        )
    return rows


def _objects(settings: VocData, root: Path, image: str, rule: str) -> list[int] | None:
    """A class index an object, difficult ones where the rule says positive; none without a file that can be read."""
    try:
        objects = ElementTree.parse(root / settings.root / "Annotations" / f"{image}.xml").iterfind(
            "object"
        )
    except (OSError, ElementTree.ParseError):
        return None
    names = [
        one.findtext("name")
        for one in objects
        if rule == "positive" or one.findtext("difficult") != "1"
    ]
    return [settings.classes.index(name) for name in names if name in settings.classes]


def _class_list(lists: Path, name: str, part: str) -> dict[str, int]:
    """Picture id -> 1, 0 or -1."""
    path = lists / f"{name}_{part}.txt"
    if not path.is_file():
        known = [other.name.removesuffix(f"_{part}.txt") for other in lists.glob(f"*_{part}.txt")]
        remedy = (
            f"no class {name!r}; {nearest(name, known)}"
            if known
            else f"nothing is listed for the set {part!r} there: mend `root` or `splits`, or unpack the archive again"
        )
        raise InputError(f"{path}: no such file; {remedy}")
    values = {}
    for number, line in enumerate(read_text(path, "").splitlines(), 1):
        tokens = line.split()
        if len(tokens) != 2 or tokens[1] not in ("1", "0", "-1"):
            raise InputError(
                f"{path}, line {number}: expected `<picture> <1, 0 or -1>`, found {line!r}"
            )
        if tokens[0] in values:
            raise InputError(
                f"{path}, line {number}: {tokens[0]} is listed twice; remove one of the lines"
            )
        values[tokens[0]] = int(tokens[1])
    if not values:
        raise InputError(
            f"{path}: the set {part!r} is empty; unpack the archive again or mend `splits`"
        )
    return values
