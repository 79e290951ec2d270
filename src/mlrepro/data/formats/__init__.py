"""Readers of the layouts that data sets are published in. Each gives one row a listed picture, pictures unopened."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mlrepro.errors import InputError

if TYPE_CHECKING:
    import pandas

COLUMNS = ["image", "part", "split", "labels", "difficult", "ignored", "captions"]  # see Manifest
INSTANCES = "instances"  # a column that a reader may add: class indices, one an object; none where they are not known
READERS = {"voc": "voc", "coco": "coco", "csv": "csv_table", "digits": "digits", "formatted": "formatted", "cub": "cub"}


def read(settings, root: Path) -> tuple[pandas.DataFrame, list[str]]:
    """Reads the annotations below the picture root: a table with COLUMNS in the data set's row order, and the classes.

    Raises InputError for annotations that contradict each other or the settings.
    """
    frame, classes = import_module(f"{__name__}.{READERS[settings.format]}").read(settings, Path(root))
    repeated = frame[frame["image"].duplicated(keep=False)]
    if len(repeated):
        image = repeated["image"].iloc[0]
        parts = repeated.loc[repeated["image"] == image, "part"].tolist()
        raise InputError(f"{root}: {repeated['image'].nunique()} pictures are in more than one split, e.g. {image} in "
                         f"{' and '.join(parts)}; a picture belongs to one: mend `splits`")
    return frame, classes


def read_text(path: Path, remedy: str) -> str:
    """A UTF-8 file, with or without a byte order mark. InputError names the file, the line and the remedy."""
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
