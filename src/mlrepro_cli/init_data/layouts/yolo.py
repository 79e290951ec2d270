"""YOLO's text files: one a picture, a line an object, `3 0.5 0.5 0.2 0.2`: its class, its place.

Classes are named in data.yaml (Ultralytics), classes.txt (LabelImg, Label Studio) or obj.names
(Darknet, CVAT). A text lies beside its picture, or in `labels` where the picture is in `images`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder, unlabelled
from mlrepro_cli.init_data.layouts.yolo_names import description
from mlrepro_cli.init_data.name_forms import stem
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
    described = description(folder)
    with_text = {_folder(picture) for picture in text_of}

    without = 0
    for picture in folder.pictures:
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


def texts_of_pictures(folder: UserFolder) -> dict[str, LabelFile]:
    """The text of each picture that has one."""
    texts = [file for file in folder.beside if file.place.lower().endswith(SUFFIX)]
    by_place = {file.place[: -len(SUFFIX)]: file for file in texts}
    in_labels = _with_one_name([file for file in texts if _is_in_labels(file.place)], _last_name)
    pictures = _with_one_name(folder.pictures, lambda picture: _last(stem(picture)))

    found = {}
    for picture in folder.pictures:
        name = stem(picture)
        for place in (_in_labels(name), name):
            if place in by_place:
                found[picture] = by_place[place]
                break
        else:
            # In folders of other names, where no two texts and no two pictures are called so.
            if _last(name) in in_labels and _last(name) in pictures:
                found[picture] = in_labels[_last(name)]
    return found


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


def _with_one_name(entries: list, name_of: Callable) -> dict:
    """Those whose name no other has, by their names."""
    counts = Counter(map(name_of, entries))
    return {name_of(entry): entry for entry in entries if counts[name_of(entry)] == 1}


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
