"""What several formats need to read files: paths, text, arrays, and errors that name a remedy."""

import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mlrepro.errors import InputError
from mlrepro.files import refuse_something_else


def fetched_folder(settings: Any, root: Path) -> Path:
    """Folder of files that are read where they were fetched to, because of their gigabytes."""
    return root if settings.folder else root.parent / "archives"


def picture_path(folder: str, name: str, where: str) -> str:
    """Path of a picture below the root; InputError, which starts with `where`, if it leaves it."""
    # A manifest's paths are posix paths, whatever system it is made on.
    image = posixpath.normpath(posixpath.join(folder, name))
    leaves_the_root = image.startswith(("/", "../"))
    if not name or leaves_the_root:
        raise InputError(f"{where}: {name!r} is not the name of a picture below {folder!r}")
    return image


def sort_names(names: Iterable[str]) -> list[str]:
    """Sort by number where every name is one (10 after 9), else as text."""
    names = list(names)
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def read_text(path: Path, remedy: str) -> str:
    """A UTF-8 file, with or without a byte order mark; InputError names file, line and remedy."""
    refuse_something_else(path)
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except UnicodeDecodeError as error:
        # Where to look: an editor shows lines, not bytes.
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from None


def load_array(path: Path, kind: str, dimensions: int, absent: str) -> np.ndarray:
    """A .npy array, mapped, so that only the rows that are used are read from the disk.

    kind: numpy's letters of the dtypes that are allowed, such as "U" (text) or "fiu" (numbers).
    absent: what a user can do where there is no such file.
    Nothing that would run code (pickle) is loaded. Raises InputError for any other file or shape.
    """
    refuse_something_else(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {absent}") from None
    except Exception as error:  # of a damaged file, numpy raises what its parsers raise
        raise InputError(
            f"{path}: not a plain .npy array ({error}); "
            "fetch it again, or place the right file by hand"
        ) from None

    # np.load also opens .npz archives, which give no array.
    is_array = isinstance(array, np.ndarray)
    if is_array and array.dtype.kind in kind and array.ndim == dimensions and len(array):
        return array

    content = "text" if kind == "U" else "numbers"
    actual = f"{array.dtype} of shape {array.shape}" if is_array else type(array).__name__
    raise InputError(
        f"{path}: expected {dimensions} dimension(s) of {content} and at least one row, "
        f"found {actual}; fetch it again, or place the right file by hand"
    )
