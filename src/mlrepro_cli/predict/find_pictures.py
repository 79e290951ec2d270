"""The pictures that a user names."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro_cli.pictures import is_left_alone, is_picture, is_picture_without_suffix


def find_pictures(paths: Sequence[str]) -> list[str]:
    """Files as they are given, pictures in and below folders by suffix, and what patterns match.

    Also what is no regular file, in a folder by its suffix: a user should hear of it. Each once, in
    this order. Raises InputError where a path gives none, or cannot be read.
    """
    pictures: dict[str, None] = {}
    for path in paths:
        files, problems = _files(path)
        if problems or not files:
            problem = problems[0] if problems else "no such file, or no pictures there"
            raise InputError(f"{path}: {problem}")
        pictures |= dict.fromkeys(files)
    return list(pictures)


def _files(path: str) -> tuple[list[str], list[OSError]]:
    """What one path gives, and why folders could not be read."""
    # A file may have the name of a pattern, such as a[1].jpg.
    matches = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    files = [match for match in matches if not os.path.isdir(match)]
    problems: list[OSError] = []

    # All folders that the path matches, sorted as one.
    below = []
    for folder in matches:
        if os.path.isdir(folder):
            below += _pictures_below(folder, problems)
    return files + sorted(below), problems


def _is_regular_picture(path: str) -> bool:
    return not is_something_else(Path(path)) and is_picture_without_suffix(Path(path))


def _pictures_below(folder: str, problems: list[OSError]) -> list[str]:
    """By their names; of files without a suffix, those that are pictures by their content."""
    pictures = []
    for parent, folders, names in os.walk(folder, onerror=problems.append):
        # As `init-data` looks into folders; whoever means a hidden one names it.
        folders[:] = [name for name in folders if not is_left_alone(name)]
        names = [name for name in names if not is_left_alone(name)]
        # A folder that is called like a picture cannot be read, which is said of it later.
        for name in names + folders:
            if is_picture(name):
                pictures.append(os.path.join(parent, name))
        for name in names:
            path = os.path.join(parent, name)
            if "." not in name and _is_regular_picture(path):
                pictures.append(path)
    return pictures
