"""Readers of the layouts that data sets are published in. Each gives one row a listed picture, pictures unopened."""

import posixpath
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas

from mlrepro.errors import InputError

COLUMNS = ["image", "part", "split", "labels", "difficult", "ignored", "captions"]  # see Manifest
Listing = tuple[pandas.DataFrame, list[str]]


def read(settings, root: Path) -> Listing:
    """Reads the annotations below the picture root: a table with COLUMNS in the data set's row order, and the classes. Two more
    columns where the source knows them: `negatives` (see Manifest), and `instances`, a class index an object. Raises InputError
    for annotations that contradict each other or the settings."""
    module = {"csv": "csv_table"}.get(settings.format, settings.format)
    frame, classes = import_module(f"{__name__}.{module}").read(settings, Path(root))
    repeated = frame[frame["image"].duplicated(keep=False)]
    if len(repeated):
        image = repeated["image"].iloc[0]
        parts = repeated.loc[repeated["image"] == image, "part"].tolist()
        raise InputError(
            f"{root}: {repeated['image'].nunique()} pictures are in more than one split, e.g. {image} in "
            f"{' and '.join(parts)}; a picture belongs to one: mend `splits`"
        )
    return frame, classes


def table(rows: list[tuple], *more: str) -> pandas.DataFrame:
    return pandas.DataFrame(rows, columns=[*COLUMNS, *more])


def picture_path(folder: str, name: str, where: str) -> str:
    """Path of a picture below the root; InputError, which starts with `where`, if it is not below `folder`."""
    image = posixpath.normpath(posixpath.join(folder, name))
    if not name or image.startswith(("/", "../")):
        raise InputError(f"{where}: {name!r} is not the name of a picture below {folder!r}")
    return image


def sort_names(names) -> list[str]:
    """By number where every name is one, else by text."""
    return (
        sorted(names, key=lambda name: (int(name), name))
        if all(map(str.isdecimal, names))
        else sorted(names)
    )


def load_array(path: Path, kind: str, dimensions: int, absent: str) -> np.ndarray:
    """A .npy array, mapped, whose dtype is of one of the kinds in `kind`; nothing that would run code (pickle) is loaded."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {absent}") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: not a plain .npy array ({error}); fetch it again, or place the right file by hand"
        ) from None
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in kind
        or array.ndim != dimensions
        or not len(array)
    ):
        found = (
            f"{array.dtype} of shape {array.shape}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise InputError(
            f"{path}: expected {dimensions} dimension(s) of {'text' if kind == 'U' else 'numbers'} and at "
            f"least one row, found {found}; fetch it again, or place the right file by hand"
        )
    return array


def read_text(path: Path, remedy: str) -> str:
    """A UTF-8 file, with or without a byte order mark. InputError names the file, the line and the remedy."""
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from None
