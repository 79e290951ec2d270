"""Pictures that are used where they lie, and that people may replace, move or delete.

What each file held is noted with its size and times. A file whose size and times are as noted is
not read again; of every other one the hash decides whether it is another picture.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas

from mlrepro.data.formats import format_of
from mlrepro.data.formats import read as read_listing
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_bytes
from mlrepro.settings.data import DataSettings

SEEN = "seen.json"
NAMED = 5  # pictures that a message names


class Seen(NamedTuple):
    """A file as it was: bytes, nanoseconds of its last writing and of its last change, sha256."""

    bytes: int
    written: int
    changed: int
    sha256: str


def look_again(settings: DataSettings, folder: Path) -> str:
    """sha256 of all that labels and pictures say now; another one makes all that follows anew.

    Prints which pictures are others than when it was last called, and notes what they are in
    folder/seen.json. Raises InputError where none is there any more.
    """
    listed, classes = read_listing(settings, settings.folder)
    images = listed["image"].tolist() if format_of(settings).has_pictures(settings) else []

    before = _read_seen(folder / SEEN)
    now = _look(settings.folder, images, before)
    if images and not now:
        raise InputError(
            f"{settings.folder}: none of the {len(images)} pictures is there any more, such as "
            f"{images[0]}; were they moved? `mlrepro init-data FOLDER` writes settings for where "
            "they are"
        )
    _tell(images, before, now)
    write_bytes(folder / SEEN, json.dumps(now).encode())
    return _digest(listed, classes, now)


def _read_seen(path: Path) -> dict[str, Seen]:
    """What was noted; nothing where the note is absent, or none of ours."""
    try:
        return {image: Seen(*entry) for image, entry in json.loads(path.read_bytes()).items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def _look(root: Path, images: list[str], before: dict[str, Seen]) -> dict[str, Seen]:
    """The pictures that are there."""

    def look(image: str) -> Seen | None:
        path = picture_file(root, image)
        if not os.path.isfile(path):
            return None
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if image in before and before[image][:-1] == state:
            return before[image]
        return Seen(*state, file_sha256(path))

    # Hashing lets go of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = zip(images, pool.map(look, images), strict=True)
        return {image: seen for image, seen in looks if seen}


def _tell(images: list[str], before: dict[str, Seen], now: dict[str, Seen]) -> None:
    missing = [image for image in images if image not in now]
    if missing:
        print(
            f"{len(missing)} of {len(images)} pictures are not there: {_named(missing)}; put them "
            "back, or run `mlrepro init-data` again, which leaves them out"
        )
    replaced = [
        image for image in now if image in before and before[image].sha256 != now[image].sha256
    ]
    if replaced:
        print(
            f"{len(replaced)} of {len(images)} pictures are others than before: "
            f"{_named(replaced)}; all that was made of them is made anew. To have splits checked "
            "for shared pictures, too: `mlrepro init-data` again"
        )
    if not missing and not replaced:
        print(f"{len(images)} pictures{', as before' if before else ''}")


def _named(images: list[str]) -> str:
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return ", ".join(images[:NAMED]) + more


def _digest(listed: pandas.DataFrame, classes: list[str], now: dict[str, Seen]) -> str:
    said = {name: listed[name].tolist() for name in sorted(listed)}
    shown = {image: seen.sha256 for image, seen in now.items()}
    text = json.dumps([classes, said, shown], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
