"""The disk that a data set is put on: sizes, free space, and locks among processes."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrepro.errors import InputError

# More than any note of ours has.
NOTE_BYTES = 1 << 16


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def read_note(path: Path) -> dict:
    """What an earlier run noted in a JSON file; nothing where the file is missing or damaged."""
    try:
        if not path.is_file() or path.stat().st_size > NOTE_BYTES:
            return {}
        note = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def check_space(path: Path, needed: int) -> None:
    """Raise InputError where fewer bytes are free beside `path` than are needed."""
    free = _free_beside(path)
    if needed > free:
        raise InputError(_too_little(path, "the disk is too small", needed, free))


def disk_error(path: Path, needed: int, error: OSError) -> InputError:
    """The error that tells a user of one of the disk, when `needed` bytes were still to come."""
    return InputError(_too_little(path, str(error), needed, _free_beside(path)))


def _free_beside(path: Path) -> int:
    return shutil.disk_usage(path.parent).free


def _too_little(path: Path, problem: str, needed: int, free: int) -> str:
    return (
        f"{path}: {problem}: {needed} more bytes are needed, {free} are free; "
        "what is there is kept, make room and run again"
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on an existing file or folder; a killed process lets go of it."""
    # Read-only, so that a folder can be locked, too.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Without waiting first: a user should hear why nothing happens.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path}: waiting for another process", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
