"""A folder a label, `cat/1.jpg`, also below folders of splits, `train/cat/1.jpg`."""

from collections.abc import Iterator
from pathlib import Path

from mlrepro.data.formats.csv_table import SPLITS
from mlrepro.data.picture_names import picture_file
from mlrepro.files import file_sha256
from mlrepro_cli.init_data.answers import Answers
from mlrepro_cli.init_data.layouts.rows import LabelRow

NAME = "a folder a label"


def read(root: Path, pictures: list[str], answers: Answers) -> Iterator[LabelRow]:
    """A row a picture in a folder. pictures: paths below root.

    Files of the same bytes in a split are one picture, the first of them, with all their labels.
    """
    top_folders = {picture.split("/")[0].lower() for picture in pictures}
    has_splits = top_folders <= set(SPLITS)
    label_depth = 1 if has_splits else 0

    first_with_bytes: dict[tuple[str, str], str] = {}
    for picture in pictures:
        *folders, _ = picture.split("/")
        if len(folders) <= label_depth:
            continue

        split = SPLITS[folders[0].lower()] if has_splits else ""
        digest = _digest(picture_file(root, picture))
        image = first_with_bytes.setdefault((split, digest), picture)
        yield LabelRow(image, split, folders[label_depth])


def _digest(file: Path) -> str:
    """Of a file's bytes; one that cannot be read, as will be said of it, is like no other."""
    try:
        return file_sha256(file)
    except OSError:
        return str(file)
