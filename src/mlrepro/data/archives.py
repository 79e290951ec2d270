"""Extraction of tar and zip archives, whose member names are not trusted."""

import gzip
import json
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from mlrepro.data.disk import check_space, disk_error, locked, read_note, size_of
from mlrepro.errors import InputError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
CHUNK = 1 << 20  # bytes
STAMP = ".extracted-"  # what the name of a stamp starts with
ENCRYPTED = 1  # a bit of a zip member's flags

# What Python's readers raise for an archive that is cut short or damaged.
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a zip with a compression that Python does not know
)


class Member(NamedTuple):
    """A member as its archive describes it."""

    name: str
    size: int  # bytes, unpacked
    is_plain: bool  # a file or a folder: no link, no device, not encrypted


def extract(archive: Path, folder: Path) -> None:
    """Extract a tar (also gz, xz) or zip into `folder`.

    A stamp `.extracted-<archive name>.json`, written last, makes the next call return at once;
    delete it to extract again. Of members with the same path the last one wins.

    Raises InputError before anything is written for a member that is no plain file or folder below
    `folder`, a truncated archive, a small disk; later, for damaged zip content.
    """
    if not archive.is_file() or not archive.name.lower().endswith(SUFFIXES):
        raise InputError(f"{archive}: not an archive file; {', '.join(SUFFIXES)} can be extracted")

    stamp = folder / f"{STAMP}{archive.name}.json"
    # The archive itself is not read again only to see that nothing has changed.
    status = archive.stat()
    identity = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if read_note(stamp) == identity:
            return
        _extract_checked(archive, folder, stamp)
        stamp.write_text(json.dumps(identity))


def _extract_checked(archive: Path, folder: Path, stamp: Path) -> None:
    is_zip = archive.name.lower().endswith(".zip")
    needed = 0  # bytes
    try:
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive) as opened:
            # All members are looked at before the first one is written.
            sizes = _checked_sizes(
                archive, _zip_members(opened) if is_zip else _tar_members(opened)
            )
            # What an earlier, interrupted call has written is replaced, so it counts as room.
            needed = sum(size - size_of(folder / name) for name, size in sizes.items())
            check_space(folder / archive.name, needed)

            # From here on the folder is incomplete until a new stamp says otherwise.
            stamp.unlink(missing_ok=True)
            # A second check by tarfile itself; Pythons before 3.11.4 have none. Zips ignore it.
            opened.extraction_filter = getattr(tarfile, "data_filter", None)
            members = opened.infolist() if is_zip else opened
            opened.extractall(folder, tqdm(members, desc=archive.name, unit=" files", disable=None))
    except DAMAGED as error:  # some of them are OSErrors, too
        raise InputError(
            f"{archive}: truncated or damaged ({error}); delete it and fetch it again"
        ) from error
    except OSError as error:
        raise disk_error(folder / archive.name, needed, error) from error


def _checked_sizes(archive: Path, members: Iterable[Member]) -> dict[str, int]:
    """Bytes of every member, by name; InputError where one may not be written."""
    sizes = {}
    for member in members:
        if not member.is_plain or not _stays_inside(member.name):
            raise InputError(
                f"{archive}: member {member.name!r} is not a plain file or folder below the folder "
                "(or it is encrypted); nothing was extracted, get the archive elsewhere"
            )
        sizes[member.name] = member.size
    return sizes


def _stays_inside(name: str) -> bool:
    """Whether a member lies below the folder that it is extracted to, on any system."""
    # Zips from Windows: a drive's letter, backslashes. Python cuts a zip's name at a zero byte.
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts
    is_drive_or_backslash = re.search(r"^[A-Za-z]:|[\\\0]", name)
    poses_as_stamp = path.name.startswith(STAMP)
    return not (leaves or is_drive_or_backslash or poses_as_stamp)


def _tar_members(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened:
        if info.size < 0:  # would send the reader back to an earlier header, for ever
            raise tarfile.ReadError(f"{info.name} has a negative size")
        yield Member(info.name, info.size, is_plain=info.isreg() or info.isdir())

    # tarfile takes a damaged header, or the end of the file, for the end of the archive: look for
    # the real one.
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end-of-archive mark at byte {opened.offset}")

    # To the end of the file: gzip and xz check their sums there.
    while opened.fileobj.read(CHUNK):
        pass


def _zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        # The upper half holds Unix's mode: 0 where the writer knew none.
        mode = stat.S_IFMT(info.external_attr >> 16)
        is_regular = mode in (0, stat.S_IFREG, stat.S_IFDIR)
        is_encrypted = info.flag_bits & ENCRYPTED
        # orig_filename: the name as it is in the archive, before Python mends it.
        yield Member(info.orig_filename, info.file_size, is_plain=is_regular and not is_encrypted)
