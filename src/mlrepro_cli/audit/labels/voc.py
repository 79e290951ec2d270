"""PASCAL VOC's labels: lists of pictures by class, or annotations of objects; see `formats.voc`.

Both say which objects are difficult. Either may stand in an archive as it is downloaded.
"""

from xml.etree import ElementTree

import numpy as np

from mlrepro.audit.picture_ids import shown
from mlrepro.audit.tables import DIFFICULT, NEGATIVE, POSITIVE, LabelTable
from mlrepro.data.formats import voc
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place, texts
from mlrepro_cli.audit.voc_names import ANNOTATION, LIST, PICTURES, RESULT

STATES = {voc.POSITIVE: POSITIVE, voc.DIFFICULT: DIFFICULT, voc.NEGATIVE: NEGATIVE}


def read(place: Place, split: str | None) -> LabelTable:
    """Of the lists where there are any, else of the annotations."""
    found = texts(place, lambda name: bool(LIST.match(name) or RESULT.search(name)))
    if any(RESULT.search(name) for name in found):
        raise InputError(f"{place.path}: results, no labels; are scores and labels exchanged?")
    if found:
        return _of_lists(place, found, split)
    found = texts(place, lambda name: bool(ANNOTATION.match(name) or PICTURES.match(name)))
    if any(ANNOTATION.match(name) for name in found):
        return _of_annotations(place, found, split)
    raise InputError(
        f"{place.path}: no labels in it: VOC's lists (ImageSets/Main/<class>_test.txt) or "
        "annotations (Annotations/*.xml), or a manifest of ours"
    )


def choose_set(place: Place, sets: list[str], split: str | None) -> str:
    """The one that was asked for, else test, else val."""
    if split in sets:
        return split
    if split is None:
        for name in ("test", "val", *sets):
            if name in sets:
                return name
    raise InputError(f"{place.path}: nothing of the split {split!r}; there are {', '.join(sets)}")


# ---- Lists ---------------------------------------------------------------------------------------


def _of_lists(place: Place, found: dict[str, str], split: str | None) -> LabelTable:
    matches = [(name, LIST.match(name)) for name in found]
    folders = sorted({match["folder"] for _, match in matches})
    if len(folders) > 1:
        raise InputError(
            f"{place.path}: lists in several folders ({shown(folders)}); give one of them"
        )

    by_set: dict[str, dict[str, str]] = {}
    for name, match in matches:
        by_set.setdefault(match["set"], {})[match["label"]] = name
    chosen = choose_set(place, sorted(by_set), split)
    flags_by_class = {
        label: _flags(place, name, found[name]) for label, name in sorted(by_set[chosen].items())
    }

    first, *others = flags_by_class.values()
    for label, flags in flags_by_class.items():
        if flags.keys() != first.keys():
            differing = sorted(flags.keys() ^ first.keys())
            raise InputError(
                f"{place.path}: the list of {label} has other pictures than the first one has: "
                f"{shown(differing)}; unpack the archive again"
            )

    columns = [[STATES[flag] for flag in flags.values()] for flags in _in_order(flags_by_class)]
    return LabelTable(
        source=f"{place.path} ({chosen})",
        ids=list(first),
        classes=list(flags_by_class),
        states=np.array(columns, np.int8).T,
        other_splits=_other_splits(place, found, by_set, chosen),
    )


def _in_order(flags_by_class: dict[str, dict[str, int]]) -> list[dict[str, int]]:
    """The classes' flags with the pictures in the order of the first."""
    first = next(iter(flags_by_class.values()))
    return [{picture: flags[picture] for picture in first} for flags in flags_by_class.values()]


def _flags(place: Place, name: str, text: str) -> dict[str, int]:
    """Picture -> one of voc.FLAGS."""
    flags = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in voc.FLAGS:
            raise InputError(
                f"{place.path}: {name}, line {number}: expected `<picture> <1, 0 or -1>`, found "
                f"{line[:80]!r}; are scores and labels exchanged?"
            )

        picture, flag = fields
        if picture in flags:
            raise InputError(f"{place.path}: {name}, line {number}: {picture} is listed twice")
        flags[picture] = voc.FLAGS[flag]
    return flags


def _other_splits(
    place: Place, found: dict[str, str], by_set: dict[str, dict[str, str]], chosen: str
) -> dict[str, list[str]]:
    """Pictures of the other sets, by the list of any class."""
    splits = {}
    for name, lists in by_set.items():
        if name != chosen:
            any_list = next(iter(lists.values()))
            splits[name] = list(_flags(place, any_list, found[any_list]))
    return splits


# ---- Annotations ---------------------------------------------------------------------------------


def _of_annotations(place: Place, found: dict[str, str], split: str | None) -> LabelTable:
    objects = {}
    for name, text in found.items():
        if match := ANNOTATION.match(name):
            objects[match["picture"]] = _objects(place, name, text)

    listed = {
        PICTURES.match(name)["set"]: text.split()
        for name, text in found.items()
        if PICTURES.match(name)
    }
    sets = {
        name: [picture for picture in pictures if picture in objects]
        for name, pictures in listed.items()
    }
    sets = {name: pictures for name, pictures in sets.items() if pictures}
    notes = []
    if sets or split:
        chosen = choose_set(place, sorted(sets), split)
        pictures = sets.pop(chosen)
        source = f"{place.path} ({chosen})"
    else:
        pictures = sorted(objects)
        source = str(place.path)
        notes.append(f"No lists of splits beside the annotations: all {len(pictures):,} count.")

    classes = sorted({label for of_picture in objects.values() for label in of_picture})
    states = np.full((len(pictures), len(classes)), NEGATIVE, np.int8)
    for row, picture in enumerate(pictures):
        for label, state in objects[picture].items():
            states[row, classes.index(label)] = state
    return LabelTable(source, pictures, classes, states, other_splits=sets, notes=notes)


def _objects(place: Place, name: str, text: str) -> dict[str, int]:
    """Class -> POSITIVE, or DIFFICULT where every object of it is."""
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{place.path}: {name} is no annotation of VOC ({error})") from None

    states = {}
    # Parts, such as heads, are no objects of their own.
    for described in root.iterfind("object"):
        label = (described.findtext("name") or "").strip()
        if not label:
            raise InputError(f"{place.path}: {name} has an object without a name")
        is_difficult = (described.findtext("difficult") or "0").strip() == "1"
        if not is_difficult:
            states[label] = POSITIVE
        else:
            states.setdefault(label, DIFFICULT)
    return states
