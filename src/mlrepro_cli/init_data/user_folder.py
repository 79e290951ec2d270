"""Looks what lies in a user's folder: pictures, and files that may say their labels."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mlrepro.data.picture_names import picture_name
from mlrepro.errors import first_of
from mlrepro.files import is_something_else
from mlrepro.terminal import one_line
from mlrepro_cli.init_data.answers import NO_ANSWERS, Answers
from mlrepro_cli.init_data.layouts.rows import LabelFile, UserFolder
from mlrepro_cli.init_data.split_words import split_in_path
from mlrepro_cli.pictures import is_left_alone, is_picture, is_picture_without_suffix, why_left_out

# Hidden folders in which programs keep copies or thumbnails, which nobody misses.
PROGRAMS_OWN = {".ipynb_checkpoints", ".thumbnails", ".git", ".dvc", ".cache", ".Trash", ".trash"}
# Suffixes of label files, of which one that is no regular file is worth a word.
LABEL_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".xml", ".parquet", ".xlsx")
# A folder above the user's file may be anything, such as a whole disk.
MOST_LOOKED_AT = 10_000
# Of hidden folders, in a message.
MOST_NAMED = 5


def look_into(root: Path, answers: Answers = NO_ANSWERS, given: Path | None = None) -> UserFolder:
    """Lists what lies below root. given: the one file that is to be read for labels."""
    pictures, left_out, files = [], {}, []
    for place in _places(root, "", _folders_above(root)):
        path = root / place
        name = picture_name(place)
        if is_something_else(path):
            if is_picture(place):
                left_out[name] = "no regular file"
            elif place.lower().endswith(LABEL_SUFFIXES):
                print(f"{path}: no regular file, left out")
        elif reason := why_left_out(path):
            left_out[name] = reason
        elif is_picture(place) or is_picture_without_suffix(path):
            pictures.append(name)
        else:
            split = split_in_path(name)
            files.append(LabelFile(path, name, split, path == given, answers, pictures))

    _tell_hidden_folders(root)
    pictures.sort()
    files.sort(key=lambda file: file.place)
    named = [file for file in files if file.given]
    return UserFolder(
        root=root,
        pictures=pictures,
        left_out=left_out,
        files=named if given else files,
        beside=files,
        answers=answers,
        given=given is not None,
    )


def has_pictures(root: Path) -> bool:
    """Whether a picture is among the first MOST_LOOKED_AT files below root."""
    places = islice(_places(root, "", _folders_above(root)), MOST_LOOKED_AT)
    return any(is_picture(place) for place in places)


def _tell_hidden_folders(root: Path) -> None:
    """Names those beside the pictures that hold pictures, too: a label may begin with a dot."""
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.name.startswith("."))
    holding = [name for name in names if name not in PROGRAMS_OWN and _holds_pictures(root / name)]
    if holding:
        shown = first_of([one_line(name) for name in holding], MOST_NAMED)
        print(
            f"Hidden folders are left out, in which there are pictures: {shown}; rename those "
            "whose pictures you mean, so that they do not begin with a dot"
        )


def _holds_pictures(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        with os.scandir(folder) as entries:
            return any(is_picture(entry.name) for entry in islice(entries, MOST_LOOKED_AT))
    except PermissionError:
        return False


def _places(root: Path, below: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Paths below root of what is no folder, and of folders with a suffix that we look for.

    above: device and number of the folders on the way, so that links in a circle end.
    """
    folder = root / below
    status = folder.stat()
    above = above | {(status.st_dev, status.st_ino)}

    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        if is_left_alone(name):
            continue
        place = f"{below}/{name}" if below else name
        is_folder = os.path.isdir(root / place)
        if not is_folder or is_picture(name) or name.lower().endswith(LABEL_SUFFIXES):
            yield place
        if is_folder and not _is_above(root / place, above):
            yield from _places(root, place, above)


def _folders_above(root: Path) -> frozenset[tuple[int, int]]:
    """Device and number of those that hold root: a link to one of them leads to root again."""
    statuses = [folder.stat() for folder in root.resolve().parents]
    return frozenset((status.st_dev, status.st_ino) for status in statuses)


def _is_above(folder: Path, above: frozenset[tuple[int, int]]) -> bool:
    status = folder.stat()
    return (status.st_dev, status.st_ino) in above
