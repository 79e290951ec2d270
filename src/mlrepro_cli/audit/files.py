"""Files that scores and labels stand in: with a name behind #, compressed, in folders, archives."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from mlrepro.errors import InputError
from mlrepro.files import file_sha256, is_something_else

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
COMPRESSED = ".gz"

# A list, an annotation or a table of labels is smaller: what is larger is something else.
LARGEST_TEXT = 1 << 30
# Numbers and names hardly compress: what unpacks to more bytes than this, and to so many times its
# own, would only fill the memory.
LARGEST_UNPACKED = 10**9
LARGEST_RATIO = 100
# One line of text: a picture with 10,000 scores has less.
LONGEST_LINE = 1 << 24


@dataclass(frozen=True)
class Place:
    """A file or folder, and what of it is meant.

    part: the name behind the last #, of an array or of a file in an archive.
    """

    path: Path
    part: str | None = None

    def __str__(self) -> str:
        return f"{self.path}#{self.part}" if self.part else str(self.path)

    @property
    def suffix(self) -> str:
        """In small letters, without that of compression."""
        return Path(self.path.name.lower().removesuffix(COMPRESSED)).suffix

    @property
    def is_archive(self) -> bool:
        return self.path.is_file() and self.path.name.lower().endswith(ARCHIVES)


def read_place(text: str) -> Place:
    """A file of this very name goes first. Raises InputError where there is nothing to read."""
    path, mark, part = text.rpartition("#")
    is_whole = not mark or Path(text).exists()
    place = Place(Path(text)) if is_whole else Place(Path(path), part)
    if not place.path.exists():
        raise InputError(f"{place.path}: no such file or folder")
    if not place.path.is_dir() and is_something_else(place.path):
        raise InputError(f"{place.path}: no regular file; put the file itself there")
    return place


def sha256(path: Path) -> str:
    """Of a file; of a folder, of the names and digests of all files in it."""
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            name = file.relative_to(path).as_posix()
            digest.update(f"{file_sha256(file)}  {name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


# ---- One file ----------------------------------------------------------------------------------


def open_bytes(path: Path) -> BinaryIO:
    """What is in it, uncompressed."""
    if path.name.lower().endswith(COMPRESSED):
        return io.BufferedReader(Unpacked(path))
    return path.open("rb")


class Unpacked(io.RawIOBase):
    """What a .gz unpacks to, up to what check_unpacked allows."""

    def __init__(self, path: Path):
        self._path = path
        self._file = gzip.open(path, "rb")
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        size = self._file.readinto(buffer)
        self._size += size
        check_unpacked(self._path, self._size)
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def check_unpacked(path: Path, size: int) -> None:
    """Raises InputError where a file unpacks to more bytes than scores or labels would."""
    packed = path.stat().st_size
    if size > max(LARGEST_UNPACKED, LARGEST_RATIO * packed):
        raise InputError(
            f"{path}: its {packed:,} bytes unpack to {size:,} or more, as no scores and no labels "
            "do; if that is right, give it uncompressed (numpy.savez, numpy.save, .csv)"
        )


def open_text(path: Path) -> TextIO:
    """UTF-8, with or without a byte order mark."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of text that are not empty, from 1, stripped. Raises InputError else."""
    number = 0
    try:
        with open_text(path) as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise InputError(f"{path}, line {number}: too long to be one of a text file")
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, after line {number}: not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from None


# ---- Many files ----------------------------------------------------------------------------------


def texts(place: Place, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Text by name of the files of a folder, or of an archive, that are wanted; sorted by name.

    Names are paths below the folder, with slashes. Nothing is unpacked to the disk.
    """
    if place.path.is_dir():
        found = _of_folder(place.path, wanted)
    else:
        found = _of_archive(place.path, wanted)

    decoded = {}
    for name, content in sorted(found):
        try:
            decoded[name] = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(f"{place.path}: {name} is not UTF-8; save it as UTF-8") from None
    return decoded


def _of_folder(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    left = LARGEST_TEXT
    for file in folder.rglob("*"):
        name = file.relative_to(folder).as_posix()
        if not wanted(name) or not file.is_file():
            continue
        left -= file.stat().st_size
        _check_left(folder, left)
        yield name, file.read_bytes()


def _of_archive(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    left = LARGEST_TEXT
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                for info in opened.infolist():
                    if wanted(info.filename) and not info.is_dir():
                        left -= info.file_size
                        _check_left(archive, left)
                        yield info.filename, opened.read(info)
            return

        with tarfile.open(archive) as opened:
            for member in opened:
                if wanted(member.name) and member.isreg():
                    left -= member.size
                    _check_left(archive, left)
                    yield member.name, opened.extractfile(member).read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise InputError(f"{archive}: not a whole archive ({error}); fetch it again") from None


def _check_left(path: Path, left: int) -> None:
    if left < 0:
        raise InputError(
            f"{path}: its texts have more than {LARGEST_TEXT >> 30} GiB; give the folder of the "
            "lists alone"
        )
