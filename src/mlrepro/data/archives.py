"""Extraction of tar and zip archives, whose member names, sizes and headers are not trusted."""

import errno
import json
import math
import os
import re
import stat
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from mlrepro.data.disk import check_space, disk_error, locked, read_note, size_of
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.progress import progress_bar
from mlrepro.settings.data import Limits

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
CHUNK = 1 << 20  # bytes
STAMP = ".extracted-"  # what the name of a stamp starts with
ENCRYPTED = 1  # a bit of a zip member's flags

# Up to so many bytes, an archive may unpack to whatever multiple of its size.
SMALL = 10**9
LARGEST_HEADER = 1 << 24  # bytes: tarfile reads a member's header into the memory
LATEST_TIME = 1 << 40  # seconds

# Rights: all but to write for others; to read and write for the owner.
FOLDER_MODE = 0o755
OWN_FILE_MODE = 0o600

LIMITS = Limits()

# The disk's errors; OSErrors of a damaged archive's readers have no number.
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Member(NamedTuple):
    """A member as its archive describes it."""

    name: str
    size: int  # bytes, unpacked
    is_plain: bool  # a file or a folder: no link, no device, not encrypted


def extract(archive: Path, folder: Path, limits: Limits = LIMITS) -> None:
    """Extract a tar (also gz, xz) or zip into `folder`.

    A stamp `.extracted-<archive name>.json`, written last, makes the next call return at once;
    delete it to extract again. Of members with the same path the last one wins.

    Raises InputError before anything is written for a member that is no plain file or folder below
    `folder`, a truncated archive, a small disk, and for one that unpacks to more than the limits;
    later, for damaged zip content.
    """
    if not archive.is_file() or not archive.name.lower().endswith(SUFFIXES):
        raise InputError(f"{archive}: not an archive file; {', '.join(SUFFIXES)} can be extracted")

    stamp = folder / f"{STAMP}{archive.name}.json"
    if is_something_else(stamp):
        raise InputError(f"{stamp}: no regular file; remove it and run again")
    # The archive itself is not read again only to see that nothing has changed.
    status = archive.stat()
    identity = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if read_note(stamp) == identity:
            return
        _extract_checked(archive, folder, stamp, limits)
        stamp.write_text(json.dumps(identity))


def _extract_checked(archive: Path, folder: Path, stamp: Path, limits: Limits) -> None:
    needed = 0  # bytes that are still to be written
    most = _most_bytes(archive, limits)
    try:
        with _open(archive, most) as opened:
            # All members are looked at before the first one is written.
            is_zip = isinstance(opened, zipfile.ZipFile)
            members = _zip_members(opened) if is_zip else _tar_members(opened)
            sizes = _checked_sizes(archive, members, most, limits)
            # What an earlier, interrupted call has written is replaced, so it counts as room.
            needed = sum(size - size_of(folder / name) for name, size in sizes.items())
            check_space(folder / archive.name, needed)

            # From here on the folder is incomplete until a new stamp says otherwise.
            stamp.unlink(missing_ok=True)
            # A second check by tarfile itself; Pythons before 3.11.4 (Debian 12) have none. Zips
            # ignore it.
            opened.extraction_filter = getattr(tarfile, "data_filter", None)
            members = opened.infolist() if is_zip else opened
            opened.extractall(folder, progress_bar(members, desc=archive.name, unit=" files"))
    except InputError:
        raise
    except TooLargeError:
        raise _too_large(archive, most, limits) from None
    except Exception as error:  # readers raise whatever their damaged input led them to
        raise _in_words(error, archive, folder, needed) from error


def _in_words(error: Exception, archive: Path, folder: Path, needed: int) -> InputError:
    """What went wrong: the disk, whose errors have a number, or else the archive."""
    number = getattr(error, "errno", None)
    if number in DISK_IS_FULL:
        return disk_error(folder / archive.name, needed, error)
    if number is not None:
        return InputError(
            f"{archive}: cannot be extracted ({error}); see that {folder} can be written to "
            "and has nothing in the way, or get the archive elsewhere"
        )
    return InputError(
        f"{archive}: truncated or damaged ({str(error) or type(error).__name__}); "
        "delete it and fetch it again"
    )


def _most_bytes(archive: Path, limits: Limits) -> int:
    """How many bytes an archive may unpack to."""
    multiple = archive.stat().st_size * limits.unpacked_ratio
    return int(min(limits.unpacked_bytes, max(SMALL, multiple)))


def _too_large(archive: Path, most: int, limits: Limits) -> InputError:
    size = archive.stat().st_size
    key = "unpacked_bytes" if most == limits.unpacked_bytes else "unpacked_ratio"
    return InputError(
        f"{archive}: unpacks to more than {most} bytes, of {size}, as no archive of pictures does; "
        f"nothing was extracted. If that is right, raise `limits.{key}` of the data set, now "
        f"{getattr(limits, key):g}"
    )


def _checked_sizes(
    archive: Path, members: Iterable[Member], most: int, limits: Limits
) -> dict[str, int]:
    """Bytes of every member, by name; InputError where one may not be written."""
    sizes = {}
    total = 0
    for member in members:
        if not member.is_plain or not _stays_inside(member.name):
            raise InputError(
                f"{archive}: member {member.name!r} is not a plain file or folder below the folder "
                "(or it is encrypted); nothing was extracted, get the archive elsewhere"
            )
        sizes[member.name] = member.size
        total += member.size
        if total > most:
            raise _too_large(archive, most, limits)

    ratio = total / max(1, archive.stat().st_size)
    if ratio > limits.unpacked_ratio:
        print(
            f"warning: {archive}: unpacks to {ratio:.0f} times its size, {total} bytes; "
            f"`limits.unpacked_ratio` is {limits.unpacked_ratio:g}",
            file=sys.stderr,
        )
    return sizes


def _stays_inside(name: str) -> bool:
    """Whether a member lies below the folder that it is extracted to, on any system."""
    # Zips from Windows: a drive's letter, backslashes. Python cuts a zip's name at a zero byte.
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts
    is_drive_or_backslash = re.search(r"^[A-Za-z]:|[\\\0]", name)
    # Also a folder of that name. Some systems do not tell large letters from small ones.
    poses_as_stamp = any(part.lower().startswith(STAMP) for part in path.parts)
    return not (leaves or is_drive_or_backslash or poses_as_stamp)


# --- tar ------------------------------------------------------------------------------------------


class TooLargeError(Exception):
    """More would be unpacked than the limits allow."""


class Bounded:
    """A file that tarfile reads decompressed, up to a number of bytes.

    Neither a header that fills the memory nor an end that never comes is read.
    """

    def __init__(self, file: BinaryIO, most: int):
        self._file = file
        self._most = most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        if self._file.tell() > self._most:
            raise TooLargeError
        return self._file.read(size)

    def seek(self, position: int) -> int:
        # Beyond the end of what is compressed, all of it would be unpacked.
        if position > self._most:
            raise TooLargeError
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


class BoundedTar(tarfile.TarFile):
    """A tar that is read within bounds where it is compressed; a plain one ends with its file."""

    most = 0  # bytes of headers and content

    @classmethod
    def taropen(cls, name, mode="r", fileobj=None, **options):
        if fileobj is not None:
            fileobj = Bounded(fileobj, cls.most)
        return super().taropen(name, mode, fileobj, **options)


def _open(archive: Path, most: int) -> zipfile.ZipFile | tarfile.TarFile:
    if archive.name.lower().endswith(".zip"):
        return zipfile.ZipFile(archive)

    class Tar(BoundedTar):
        pass

    # Of headers and of what fills blocks, a tar has less than of content, but for very small files.
    Tar.most = most + max(SMALL, most // 2)
    return Tar.open(archive)


def _tar_members(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened:
        if info.size < 0:  # would send the reader back to an earlier header, for ever
            raise tarfile.ReadError(f"{info.name} has a negative size")
        # No system can set such times, and nobody needs them.
        if not (math.isfinite(info.mtime) and abs(info.mtime) < LATEST_TIME):
            info.mtime = 0
        if info.issparse():
            _check_sparse(info)
        _disown(info)
        yield Member(info.name, info.size, is_plain=info.isreg() or info.isdir())

    # tarfile takes a damaged header, or the end of the file, for the end of the archive: look for
    # the real one.
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end-of-archive mark at byte {opened.offset}")

    # To the end of the file: gzip and xz check their sums there.
    while opened.fileobj.read(CHUNK):
        pass


def _disown(info: tarfile.TarInfo) -> None:
    """Owner and rights are the user's own, as tarfile's data filter has them where there is one.

    No file is run as somebody else, and none may be changed by others or not by its owner.
    """
    if hasattr(os, "getuid"):  # not on Windows
        info.uid = os.getuid()
        info.gid = os.getgid()
    info.uname = ""
    info.gname = ""

    if info.isdir():
        info.mode = FOLDER_MODE
    else:
        info.mode = (info.mode & FOLDER_MODE) | OWN_FILE_MODE


def _check_sparse(info: tarfile.TarInfo) -> None:
    """Raises ReadError where the pieces of a file with holes are not one after the other in it."""
    # The map lists offset,size,offset,size: in whole pairs there is an odd number of commas.
    if info.pax_headers.get("GNU.sparse.map", ",").count(",") % 2 == 0:
        raise tarfile.ReadError(f"{info.name!r} has a piece without an end")

    end = 0
    for offset, size in info.sparse:
        if offset < end or size < 0 or offset + size > info.size:
            raise tarfile.ReadError(f"{info.name!r} has pieces outside of it")
        end = offset + size


# --- zip ------------------------------------------------------------------------------------------


def _zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        # The upper half holds Unix's mode: 0 where the writer knew none.
        mode = stat.S_IFMT(info.external_attr >> 16)
        is_regular = mode in (0, stat.S_IFREG, stat.S_IFDIR)
        is_encrypted = info.flag_bits & ENCRYPTED
        # orig_filename: the name as it is in the archive, before Python mends it.
        yield Member(info.orig_filename, info.file_size, is_plain=is_regular and not is_encrypted)
