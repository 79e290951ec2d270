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

from mlrepro.cores import worker_threads
from mlrepro.data.formats import format_of
from mlrepro.data.formats import read as read_listing
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError, first_of
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


class Looked(NamedTuple):
    """What labels and pictures say now, and what the pictures were when it was last noted.

    listed, classes: of the settings' format. images: that are listed, there or not.
    """

    listed: pandas.DataFrame
    classes: list[str]
    images: list[str]
    before: dict[str, Seen]
    now: dict[str, Seen]


def require_folder(settings: DataSettings, name: str) -> None:
    """Raises InputError where the folder of a data set that is used in place is gone."""
    if not settings.folder.is_dir():
        raise InputError(
            f"{settings.folder}: no such folder; mend `folder` of the data set {name}. Own "
            "pictures that were moved: `mlrepro init-data FOLDER` writes the settings anew"
        )


def look_again(settings: DataSettings, folder: Path) -> str:
    """sha256 of all that labels and pictures say now; another one makes all that follows anew.

    Prints which pictures are others than when it was last called, and notes what they are in
    folder/seen.json. Raises InputError where none is there any more.
    """
    looked = _look_at_all(settings, folder)
    tell_of_label_files(settings)
    _tell(looked.images, looked.before, looked.now)
    write_bytes(folder / SEEN, json.dumps(looked.now).encode())
    return _digest(looked)


def content_now(settings: DataSettings, folder: Path) -> str:
    """What `look_again` would return. Nothing is printed or noted."""
    return _digest(_look_at_all(settings, folder))


def _look_at_all(settings: DataSettings, folder: Path) -> Looked:
    require_folder(settings, folder.name)
    listed, classes = read_listing(settings, settings.folder)
    images = []
    if format_of(settings).has_pictures(settings):
        images = listed["image"].tolist()

    before = _read_seen(folder / SEEN)
    now = _look(settings.folder, images, before)
    if images and not now:
        raise InputError(
            f"{settings.folder}: none of the {len(images)} pictures is there any more, such as "
            f"{images[0]}; were they moved? `mlrepro init-data FOLDER` writes settings for where "
            "they are"
        )
    return Looked(listed, classes, images, before, now)


def _read_seen(path: Path) -> dict[str, Seen]:
    """What was noted; nothing where the note is absent, or none of ours."""
    try:
        noted = json.loads(path.read_bytes())
        return {image: Seen(*entry) for image, entry in noted.items()}
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
        # A program may set the time of writing as it likes, but not the time of change.
        if image in before:
            *state_before, _ = before[image]
            if tuple(state_before) == state:
                return before[image]
        return Seen(*state, file_sha256(path))

    # Hashing lets go of Python's lock.
    with ThreadPoolExecutor(worker_threads()) as pool:
        looks = zip(images, pool.map(look, images), strict=True)
        return {image: seen for image, seen in looks if seen}


def _tell(images: list[str], before: dict[str, Seen], now: dict[str, Seen]) -> None:
    missing = [image for image in images if image not in now]
    if missing:
        print(
            f"{len(missing)} of {len(images)} pictures are not there: {first_of(missing, NAMED)}; "
            "put them back, or run `mlrepro init-data` again, which leaves them out"
        )

    known = [image for image in now if image in before]
    replaced = [image for image in known if before[image].sha256 != now[image].sha256]
    if replaced:
        print(
            f"{len(replaced)} of {len(images)} pictures are others than before: "
            f"{first_of(replaced, NAMED)}; all that was made of them is made anew. To have splits "
            "checked for shared pictures, too: `mlrepro init-data` again"
        )

    if not missing and not replaced:
        print(f"{len(images)} pictures{', as before' if before else ''}")


def tell_of_label_files(settings: DataSettings) -> None:
    """Says which files of labels are others than when `init-data` read them."""
    for path, digest in settings.label_files.items():
        if not os.path.isfile(path):
            change = "is gone"
        elif file_sha256(Path(path)) != digest:
            change = "has changed"
        else:
            continue
        print(
            f"warning: {path} {change} since `mlrepro init-data` read it; run that again, so "
            "that its labels are used"
        )


def _digest(looked: Looked) -> str:
    """Of what the labels say and what the pictures hold; no matter when the files were written."""
    labels = {column: looked.listed[column].tolist() for column in sorted(looked.listed)}
    pictures = {image: seen.sha256 for image, seen in looked.now.items()}
    text = json.dumps([looked.classes, labels, pictures], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
