"""Finds the pictures below a user's folder, and the one layout that says their labels."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mlrepro.data.formats.csv_table import SPLITS
from mlrepro.data.picture_names import picture_name
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro_cli.init_data.answers import NO_ANSWERS, Answers
from mlrepro_cli.init_data.layouts import FILE_LAYOUTS, FOLDER_LAYOUTS
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.pictures import SUFFIXES, is_picture, is_picture_without_suffix, why_left_out

# Hidden files are left alone, such as those that some systems write beside every picture.
VISIBLE = "[!.]*"
VISIBLE_WITH_SUFFIX = "[!.]*.*"


@dataclass(frozen=True)
class FoundLabels:
    """What lies in a user's folder.

    root:     the folder that pictures are named from.
    pictures: all below it, listed with a label or not.
    left_out: pictures that are not used, and why.
    rows:     with the pictures' paths below root, or names that no picture there has.
    """

    root: Path
    pictures: list[str]
    left_out: dict[str, str]
    rows: list[LabelRow]


class PictureNames:
    """Pictures by their names as label files give them: alone, or with some of their folders."""

    def __init__(self, pictures: list[str]):
        self._pictures: dict[str, list[str]] = {}
        for picture in pictures:
            parts = picture.split("/")
            for start in range(len(parts)):
                name = "/".join(parts[start:])
                self._pictures.setdefault(name, []).append(picture)

    def picture(self, name: str, split: str) -> str:
        """The picture that a label file means; where there is none, the name itself.

        Of several, one whose path has the file's split in it, and of these the shortest path.
        """
        candidates = self._pictures.get(name, [name])
        return min(candidates, key=lambda picture: (split not in picture, len(picture)))


def find_labels(path: Path, answers: Answers = NO_ANSWERS) -> FoundLabels:
    """Pictures and labels of a folder, or those that one label file lists. Prints what was found.

    Raises InputError where there are no labels, or labels in two layouts.
    """
    if is_something_else(path) and not path.is_dir():
        raise InputError(f"{path}: no regular file; give a folder of pictures, or a table")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give one that holds pictures")
    root = _root(path)
    _refuse_other_letters(root)
    pictures, left_out = find_pictures(root)

    # Label files say more than folders do, which may be there for order alone.
    found = _read_files(_label_files(path, root, pictures, answers), PictureNames(pictures))
    if not found and path.is_dir():
        found = _read_folders(root, pictures, answers)
    if len(found) != 1:
        layouts = " and ".join(found) or "no"
        raise InputError(
            f"{path}: {len(pictures)} pictures ({' '.join(SUFFIXES)}), {layouts} labels; "
            "give a folder of pictures with one thing that says their labels (a folder a label, "
            "VOC's lists, COCO's annotations, a .csv or .tsv table with a column of picture names "
            "and one headed labels), or that file"
        )

    # Two layouts may contradict each other; here is one.
    [(layout, rows)] = found.items()
    print(f"{path}: {len(pictures)} pictures, {layout}")
    return FoundLabels(root, pictures, left_out, rows)


def find_pictures(root: Path) -> tuple[list[str], dict[str, str]]:
    """Paths below root, sorted, without hidden files; and why those that are left out are."""
    pictures = []
    left_out = {}
    for file in sorted(root.rglob(VISIBLE)):
        name = picture_name(file.relative_to(root).as_posix())
        called_picture = is_picture(file.name)
        if is_something_else(file):
            # Most of these are folders, which mean no picture.
            if called_picture:
                left_out[name] = "no regular file"
        elif reason := why_left_out(file):
            left_out[name] = reason
        elif called_picture or is_picture_without_suffix(file):
            pictures.append(name)
    return sorted(pictures), left_out


def _refuse_other_letters(root: Path) -> None:
    """Raises InputError for a folder whose name the settings, which are UTF-8, cannot hold."""
    if picture_name(str(root)) != str(root):
        raise InputError(
            f"{picture_name(str(root))}: the name of this folder is not UTF-8; rename it"
        )


def _root(path: Path) -> Path:
    """The folder that pictures are named from: the given one, or the given file's."""
    if path.is_dir():
        return path.resolve()

    folder = path.resolve().parent
    # COCO's annotations lie in a folder beside those of the pictures.
    if path.suffix == ".json" and not any(find_pictures(folder)):
        return folder.parent
    return folder


def _label_files(
    path: Path, root: Path, pictures: list[str], answers: Answers
) -> Iterator[LabelFile]:
    given = not path.is_dir()
    files = [path.resolve()] if given else root.rglob(VISIBLE_WITH_SUFFIX)

    # VOC's trainval, which repeats train and val, comes last: a picture is of the first split that
    # lists it.
    for file in sorted(files, key=lambda file: (file.stem.endswith("_trainval"), file)):
        place = file.relative_to(root).as_posix()
        yield LabelFile(file, place, _split_in_name(place), given, answers, pictures)


def _split_in_name(place: str) -> str:
    """train, val or test, as the last word of a path that is one of these says; else ""."""
    words = re.findall("[a-z]+", place.lower())
    for word in reversed(words):
        if word in SPLITS:
            return SPLITS[word]
    return ""


def _read_files(files: Iterator[LabelFile], names: PictureNames) -> dict[str, list[LabelRow]]:
    """Rows by the name of their layout. Layouts without a row are left out."""

    def picture(name: str, file: LabelFile) -> str:
        return names.picture(name, file.split)

    files_of_layout: dict[str, list[LabelFile]] = {layout.NAME: [] for layout in FILE_LAYOUTS}
    for file in files:
        for layout in FILE_LAYOUTS:
            if not layout.matches(file):
                continue
            if is_something_else(file.path):
                print(f"{file.path}: no regular file, left out")
                continue
            files_of_layout[layout.NAME].append(file)

    found = {}
    for layout in FILE_LAYOUTS:
        own = files_of_layout[layout.NAME]
        if hasattr(layout, "read_all"):
            rows = list(layout.read_all(own, picture))
        else:
            rows = [row for file in own for row in _read_file(layout, file, names)]
        if rows:
            found[layout.NAME] = rows
    return found


def _read_file(layout: ModuleType, file: LabelFile, names: PictureNames) -> list[LabelRow]:
    try:
        return [
            row._replace(image=names.picture(row.image, file.split)) for row in layout.read(file)
        ]
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        raise InputError(
            f"{file.path}: cannot be read as {layout.NAME} ({error}); mend it or move it away"
        ) from None


def _read_folders(root: Path, pictures: list[str], answers: Answers) -> dict[str, list[LabelRow]]:
    for layout in FOLDER_LAYOUTS:
        rows = list(layout.read(root, pictures, answers))
        if rows:
            return {layout.NAME: rows}
    return {}
