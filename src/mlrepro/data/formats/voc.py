"""PASCAL VOC classification lists: ImageSets/Main/<class>_<set>.txt."""

from pathlib import Path
from xml.etree import ElementTree

from mlrepro.data.formats.catalogue import Format, names_a_training_split
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import read_text
from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.data import VocData

# What a class list says of a picture.
POSITIVE = 1
DIFFICULT = 0  # there, but hard to see
NEGATIVE = -1
FLAGS = {"1": POSITIVE, "0": DIFFICULT, "-1": NEGATIVE}


def read(settings: VocData, root: Path) -> Listing:
    """Rows sorted by file name within a set; sets and classes in the order of the settings.

    `settings.difficult` says what a difficult picture counts as: published numbers disagree on it.
    """
    pictures = []
    for split, parts in settings.splits.items():
        rule = _difficult_rule(settings, split)
        for part in [parts] if isinstance(parts, str) else parts:
            pictures += _pictures_of_part(settings, root, split, part, rule)
    return Listing(pictures, list(settings.classes))


def _difficult_rule(settings: VocData, split: str) -> str:
    if isinstance(settings.difficult, str):
        return settings.difficult
    if split not in settings.difficult:
        raise InputError(
            f"difficult: says nothing about the split {split!r}; give negative, positive or ignore"
        )
    return settings.difficult[split]


def _pictures_of_part(
    settings: VocData, root: Path, split: str, part: str, rule: str
) -> list[ListedPicture]:
    lists = root / settings.root / "ImageSets" / "Main"
    flags_by_class = [_class_list(lists, name, part) for name in settings.classes]
    images = flags_by_class[0].keys()
    _check_same_pictures(settings.classes, flags_by_class, lists, part)

    pictures = []
    # Sorted with the suffix: that is the order of Cole et al. 2021, which the corruption follows.
    for image in sorted(images, key=_file_name):
        flags = [of_class[image] for of_class in flags_by_class]
        positive = [index for index, flag in enumerate(flags) if flag == POSITIVE]
        difficult = [index for index, flag in enumerate(flags) if flag == DIFFICULT]

        pictures.append(
            ListedPicture(
                image=f"{settings.root}/JPEGImages/{_file_name(image)}",
                part=part,
                split=split,
                labels=sorted(positive + difficult) if rule == "positive" else positive,
                difficult=difficult,
                ignored=difficult if rule == "ignore" else [],
                # Only the training pictures' objects are counted anywhere.
                instances=_objects(settings, root, image, rule) if split == "train" else [],
            )
        )
    return pictures


def _file_name(image: str) -> str:
    return f"{image}.jpg"


def _check_same_pictures(
    classes: list[str], flags_by_class: list[dict[str, int]], lists: Path, part: str
) -> None:
    images = flags_by_class[0].keys()
    for name, flags in zip(classes, flags_by_class, strict=True):
        for image in flags.keys() ^ images:
            raise InputError(
                f"{lists / f'{name}_{part}.txt'}: lists other pictures than "
                f"{classes[0]}_{part}.txt does, e.g. {image}; unpack the archive again"
            )


def _objects(settings: VocData, root: Path, image: str, rule: str) -> list[int] | None:
    """A class index an object, also of difficult ones where the rule says positive.

    None where there is no annotation file, or it cannot be read: objects are counted, no more.
    """
    path = root / settings.root / "Annotations" / f"{image}.xml"
    try:
        annotation = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        return None

    # Objects of other classes are passed over; parts, such as heads, are no objects of their own.
    indices = []
    for described in annotation.iterfind("object"):
        is_difficult = described.findtext("difficult") == "1"
        name = described.findtext("name")
        if name in settings.classes and (rule == "positive" or not is_difficult):
            indices.append(settings.classes.index(name))
    return indices


def _class_list(lists: Path, name: str, part: str) -> dict[str, int]:
    """Picture id -> one of FLAGS."""
    path = lists / f"{name}_{part}.txt"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_remedy_of_absent_list(lists, name, part)}")

    flags = {}
    for number, line in enumerate(read_text(path, "").splitlines(), 1):
        tokens = line.split()
        if len(tokens) != 2 or tokens[1] not in FLAGS:
            raise InputError(
                f"{path}, line {number}: expected `<picture> <1, 0 or -1>`, found {line!r}"
            )
        image, flag = tokens
        if image in flags:
            raise InputError(
                f"{path}, line {number}: {image} is listed twice; remove one of the lines"
            )
        flags[image] = FLAGS[flag]

    if not flags:
        raise InputError(
            f"{path}: the set {part!r} is empty; unpack the archive again or mend `splits`"
        )
    return flags


def _remedy_of_absent_list(lists: Path, name: str, part: str) -> str:
    # Either the class is misspelt, or nothing of this set is there.
    suffix = f"_{part}.txt"
    known = [path.name.removesuffix(suffix) for path in lists.glob(f"*{suffix}")]
    if known:
        return f"no class {name!r}; {nearest(name, known)}"
    return (
        f"nothing is listed for the set {part!r} there: mend `root` or `splits`, "
        "or unpack the archive again"
    )


FORMAT = Format(read=read, is_trained_on=names_a_training_split)
