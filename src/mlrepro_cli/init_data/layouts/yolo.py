"""YOLO's text files: one a picture, a line an object, `3 0.5 0.5 0.2 0.2`: its class, its place.

Classes are named in data.yaml (Ultralytics), classes.txt (LabelImg, Label Studio) or obj.names
(Darknet, CVAT). A text lies beside its picture, or in `labels` where the picture is in `images`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.beside_pictures import masks_beside
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder, unlabelled
from mlrepro_cli.init_data.layouts.yolo_names import description
from mlrepro_cli.init_data.name_forms import folded, stem
from mlrepro_cli.init_data.not_labels import BESIDE_PICTURES, OUTPUTS, bare
from mlrepro_cli.init_data.split_words import split_in_path

NAME = "YOLO's text files"
OPTION = "yolo"
SUFFIX = ".txt"
# Class and box; a polygon, key points, an angle or a score have more numbers.
LEAST_NUMBERS = 5
# With a comma, too, as some programs write where people write so.
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\d+,\d+|\.\d+)([eE][-+]?\d+)?$")
# Class, box, and how sure a network was.
NUMBERS_WITH_SCORE = 6
HEAD = 4096


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a picture and class, of all pictures in folders that texts belong to.

    A picture there without a text, or with an empty one, has no label; a folder of pictures
    without any text is of a part that nobody has labelled.
    """
    given = folder.files[0].place.lower() if folder.given else ""
    if given and not given.endswith((".yaml", ".yml", ".names", "classes.txt")):
        return
    text_of = texts_of_pictures(folder)
    # Texts beside pictures may be captions or tags; one with numbers shows what they are.
    if not any(_is_yolo(file) for file in text_of.values()):
        return
    _refuse_predictions(folder, list(text_of.values()))
    _refuse_unclear(folder, text_of)
    described = description(folder)
    with_text = {_folder(picture) for picture in text_of}

    without = 0
    for picture in _without_masks(folder, text_of):
        split = described.split_of(picture)
        if split is None:
            continue
        source = text_of[picture].place if picture in text_of else ""
        split = split or split_in_path(_folder(picture))
        if not source:
            if _folder(picture) in with_text:
                without += 1
                yield LabelRow(picture, split, "", source=described.place)
            elif described.splits:
                yield unlabelled(picture, split, described.place)
            continue
        classes = _classes(text_of[picture])
        for label in sorted({described.name(*entry) for entry in classes}) or [""]:
            yield LabelRow(picture, split, label, source=source)

    if without:
        folder.note(f"{without} pictures beside others with a text have none: taken as no label")


def _without_masks(folder: UserFolder, text_of: dict[str, LabelFile]) -> list[str]:
    """The pictures; without `1_mask.png` beside `1.jpg` that has no text of its own."""
    without_text = [picture for picture in folder.pictures if picture not in text_of]
    masks, line = masks_beside(folder.pictures)
    left_out = masks.intersection(without_text)
    if left_out:
        folder.note(line)
    return [picture for picture in folder.pictures if picture not in left_out]


def texts_of_pictures(folder: UserFolder) -> dict[str, LabelFile]:
    """The text of each picture that has one."""
    texts = [file for file in folder.beside if file.place.lower().endswith(SUFFIX)]
    by_place = {file.place[: -len(SUFFIX)]: file for file in texts}

    found = {}
    others = []
    for picture in folder.pictures:
        name = stem(picture)
        places = [place for place in (_in_labels(name), name) if place in by_place]
        if places:
            found[picture] = by_place[places[0]]
        else:
            others.append(picture)

    taken = {file.place for file in found.values()}
    left = [file for file in texts if file.place not in taken and _is_in_labels(file.place)]
    return found | _texts_of_their_names(others, left)


def _texts_of_their_names(pictures: list[str], texts: list[LabelFile]) -> dict[str, LabelFile]:
    """In folders of other names, a picture and a text that are each other's nearest."""
    pictures_of: dict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        pictures_of[folded(_last(stem(picture)))].append(picture)
    texts_of: dict[str, dict[str, LabelFile]] = defaultdict(dict)
    for file in texts:
        texts_of[folded(_last_name(file))][file.place] = file

    found = {}
    for name, of_name in texts_of.items():
        for place, file in of_name.items():
            picture = _nearest(place, pictures_of[name])
            if picture and _nearest(picture, list(of_name)) == place:
                found[picture] = file
    return found


def _nearest(path: str, others: list[str]) -> str | None:
    """The one that has most names of folders in common; none where several have as many."""
    folders = set(path.split("/")[:-1])
    common = {other: len(folders & set(other.split("/")[:-1])) for other in others}
    nearest = [other for other in others if common[other] == max(common.values())]
    return nearest[0] if len(nearest) == 1 else None


def _refuse_unclear(folder: UserFolder, text_of: dict[str, LabelFile]) -> None:
    """Raises Question for a text that may be of several pictures, which would be without labels."""
    taken = {file.place for file in text_of.values()}
    without: dict[str, list[str]] = defaultdict(list)
    for picture in folder.pictures:
        if picture not in text_of:
            without[folded(_last(stem(picture)))].append(picture)

    for file in folder.beside:
        is_left = file.place.lower().endswith(SUFFIX) and file.place not in taken
        named = without.get(folded(_last_name(file)), []) if is_left else []
        if len(named) > 1 and _is_in_labels(file.place) and _is_yolo(file):
            raise Question(
                f"{file.path}: the objects of {named[0]} or of {named[1]}? Put texts into folders "
                "that are called as those of their pictures, with labels in the place of images"
            )


def _in_labels(name: str) -> str:
    """The path with its last `images` called `labels`, as Ultralytics has it."""
    above, _, last = name.rpartition("/")
    start, images, end = above.rpartition("images")
    return f"{start}labels{end}/{last}" if images else name


def _is_in_labels(place: str) -> bool:
    """Whether a text lies in a folder of labels, which is not that of a program's predictions."""
    folders = place.split("/")[:-1]
    words = {bare(word) for folder in folders for word in [folder, *re.split(r"[\W_]+", folder)]}
    return bool(words & BESIDE_PICTURES) and not words & OUTPUTS


def _last_name(file: LabelFile) -> str:
    return _last(file.place)[: -len(SUFFIX)]


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _is_yolo(file: LabelFile) -> bool:
    """Whether the first lines are of numbers, the first of which counts."""
    try:
        with file.path.open("rb") as opened:
            head = opened.read(HEAD).decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    lines = [line.split() for line in head.splitlines() if line.strip()]
    return bool(lines) and _is_object(lines[0])


def _is_object(words: list[str]) -> bool:
    if len(words) < LEAST_NUMBERS or not all(map(NUMBER.match, words)):
        return False
    return "," not in words[0] and float(words[0]).is_integer()


def _refuse_predictions(folder: UserFolder, texts: list[LabelFile]) -> None:
    """Raises Question where each object has a score behind its box, as save_conf writes it."""
    if folder.given or folder.answers.layout == OPTION:
        return

    scores = []
    for file in texts:
        for line in read_text(file.path, "").splitlines():
            words = line.split()
            if not words:
                continue
            if len(words) != NUMBERS_WITH_SCORE or not _is_object(words):
                return
            scores.append(words[-1])

    if scores:
        raise Question(
            f"{texts[0].path.parent}: each object has a sixth number, such as {scores[0]}, which "
            "may be a network's score. Predictions? Then move these texts away. If they are "
            f"labels, say --layout {OPTION}"
        )


def _classes(file: LabelFile) -> Iterator[tuple[Path, int, int]]:
    """File, line and number of the class of each object."""
    for line, text in enumerate(read_text(file.path, "").splitlines(), start=1):
        words = text.split()
        if not words:
            continue
        if not _is_object(words):
            raise InputError(
                f"{file.path}, line {line}: {text.strip()[:80]!r} is no object of YOLO, the number "
                "of a class and four or more numbers; mend it or move it away"
            )
        yield file.path, line, int(float(words[0]))


def _folder(picture: str) -> str:
    return picture.rpartition("/")[0]
