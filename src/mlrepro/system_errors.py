"""What the system refuses to read or write, in words that name the place and the remedy."""

import errno
import getpass
import os
import re
import shutil
from pathlib import Path

NO_RIGHTS = (errno.EACCES, errno.EPERM)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)

# How libraries written in Rust (safetensors) repeat what the system said.
OS_ERROR = re.compile(r"\(os error (\d+)\)")
MIB = 2**20


def system_error(error: BaseException, path: Path) -> OSError | None:
    """The system's refusal behind an error, of a library or its own; none if there is none.

    path: what was being written.
    """
    number = _error_number(error)
    if number is None:
        return None
    return OSError(number, os.strerror(number), str(path))


def _error_number(error: BaseException | None) -> int | None:
    """Of the error itself, or of that during which it was raised (torch), or in its text."""
    while error is not None:
        if isinstance(error, OSError):
            return error.errno
        repeated = OS_ERROR.search(str(error))
        if repeated:
            return int(repeated.group(1))
        error = error.__cause__ or error.__context__
    return None


def in_words(error: OSError) -> str | None:
    """A sentence for the user; none of an error that is no matter of rights, room or disks."""
    path = Path(error.filename) if error.filename else None
    remedy = _remedy(error.errno, path)
    if remedy is None:
        return None
    return f"{path or 'a file'}: {error.strerror}: {remedy}"


def _remedy(number: int | None, path: Path | None) -> str | None:
    folder = _nearest_folder(path or Path())
    again = "what was whole is kept; then run the same command again"

    if number == errno.EROFS:
        return (
            f"{folder} is on a read-only file system; mount it writable, or put a link to a "
            f"writable folder in its place; {again}"
        )
    if number in NO_RIGHTS:
        return (
            f"the user {_user()} needs the right to read and write in {folder} (chown, chmod, "
            f"chattr); {again}"
        )
    if number in NO_ROOM:
        free = shutil.disk_usage(folder).free / MIB
        return f"{free:,.1f} MiB are free for {folder}; make room there; {again}"
    if number == errno.EFBIG:
        return f"larger than a file may be in {folder} (ulimit -f, its file system); {again}"
    if number in IN_THE_WAY:
        return f"a file is where a folder is needed, or the reverse; move it away; {again}"
    if number == errno.EIO:
        return "its disk cannot be read or written; check it, and that it is still connected"
    return None


def _nearest_folder(path: Path) -> Path:
    """The folder that a path is in, or the nearest above it that there is, as the user wrote it."""
    for folder in path.parents:
        if folder.is_dir():
            return folder
    return Path()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
