"""Texts of one picture each, a line an object, with the name of its class: KITTI's, DOTA's."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.picture_lists import lists_of_pictures
from mlrepro_cli.init_data.layouts.rows import (
    PRESENT,
    UNKNOWN,
    LabelFile,
    LabelRow,
    UserFolder,
    unlabelled,
)
from mlrepro_cli.init_data.layouts.yolo import texts_of_pictures
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.init_data.split_words import split_in_path, split_word

# A class, of one word or more: no numbers, which all else in a line is.
WORD = r"[^\s\d.-]\S*"
CLASS = rf"(?P<label>{WORD}(?: {WORD})*)"

# A list that repeats train and val.
BOTH = "trainval"


@dataclass(frozen=True)
class ObjectLine:
    """label: "" for a region that is to be passed over. score: whether a network's is behind."""

    label: str
    difficult: bool = False
    score: bool = False


# What a line says; None for one of another kind.
Parse = Callable[[str], ObjectLine | None]


def read_texts(folder: UserFolder, parse: Parse, option: str) -> Iterator[LabelRow]:
    """A row a picture and class. A picture with an empty text has no label.

    Nothing where the first text with a line has no object in it. A picture without a text waits for
    its labels.
    """
    text_of = _texts(folder)
    first_lines = (lines[0] for lines in map(_lines, text_of.values()) if lines)
    if parse(next(first_lines, "")) is None:
        return

    objects = {picture: _objects(file, parse) for picture, file in text_of.items()}
    first = next(iter(text_of.values()))
    if folder.answers.layout != option:
        _refuse_predictions(first, objects.values(), option)
    splits = _splits(folder, list(objects))
    for picture in folder.pictures:
        if picture in objects:
            yield from _rows(picture, splits[picture], objects[picture], text_of[picture].place)
        else:
            yield unlabelled(picture, "", first.place)


def _splits(folder: UserFolder, pictures: list[str]) -> dict[str, str]:
    """The parts of labelled pictures: of lists of train and val, where all lie in one folder.

    KITTI's pictures for the test have the same numbers: its list is not of these.
    """
    by_folder = {picture: split_in_path(picture.rpartition("/")[0]) for picture in pictures}
    if len(set(by_folder.values())) > 1:
        return by_folder

    # Lists hold names without folders, which two pictures must not share.
    own_names = {stem(picture).rpartition("/")[2]: picture for picture in pictures}
    if len(own_names) < len(pictures):
        return by_folder

    by_list = {}
    for file, names in lists_of_pictures(folder):
        part = split_word(file.path.stem)
        is_part = part in ("train", "val") and file.path.stem != BOTH
        if is_part and set(names) <= set(own_names):
            folder.note(f"{file.place}: the part of {len(names)} pictures, {part}")
            by_list |= {own_names[name]: part for name in names}

    if not by_list:
        return by_folder
    return {picture: by_list.get(picture, "") for picture in pictures}


def _rows(picture: str, split: str, objects: list[ObjectLine], source: str) -> Iterator[LabelRow]:
    """There with one clear object, unknown with difficult ones alone."""
    states: dict[str, int] = {}
    for found in objects:
        state = UNKNOWN if found.difficult else PRESENT
        states[found.label] = max(state, states.get(found.label, state))
    states.pop("", None)
    for label, state in states.items():
        yield LabelRow(picture, split, label, state, source=source)
    if PRESENT not in states.values():
        yield LabelRow(picture, split, "", source=source)


def _objects(file: LabelFile, parse: Parse) -> list[ObjectLine]:
    found = []
    for number, line in enumerate(_lines(file), start=1):
        parsed = parse(line)
        if parsed is None:
            raise InputError(
                f"{file.path}, object {number}: {line[:80]!r} is not as the others are; mend the "
                "line, or move the file away"
            )
        found.append(parsed)
    return found


def _refuse_predictions(file: LabelFile, objects: Iterable[list[ObjectLine]], option: str) -> None:
    """Raises Question where each object has a score."""
    scores = [found.score for of_text in objects for found in of_text]
    if scores and all(scores):
        raise Question(
            f"{file.path.parent}: each object has one number more at its end, as a network's "
            f"score. Predictions? Then move these texts away. If they are labels, say --layout "
            f"{option}"
        )


def _texts(folder: UserFolder) -> dict[str, LabelFile]:
    """The text of each picture that has one: of `image_2/1.png`, `label_2/1.txt`."""
    if folder.given:
        return {}
    of_place = {file.place: file for file in folder.files}
    found = {}
    for picture in folder.pictures:
        above, _, last = stem(picture).rpartition("/")
        start, images, end = above.rpartition("image_")
        place = f"{start}label_{end}/{last}.txt"
        if images and place in of_place:
            found[picture] = of_place[place]
    # Pictures of the other camera have the same names, and no texts of their own.
    return found or texts_of_pictures(folder)


def _lines(file: LabelFile) -> list[str]:
    """Those of objects: DOTA has the picture's source and scale above."""
    try:
        lines = [line.strip() for line in read_text(file.path, "").splitlines()]
    except InputError:
        return []
    return [line for line in lines if line and not line.startswith(("imagesource:", "gsd:"))]
