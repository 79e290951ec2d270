"""A file that is being fetched: what has arrived of it, and whether it is the expected one."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from mlrepro.data.disk import check_space, disk_error, read_note, size_of
from mlrepro.data.fetching.content import page_in, problem_of_content
from mlrepro.data.fetching.web import LIMITS, BrokenError, MirrorError, chunks
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.progress import progress_bar
from mlrepro.settings.data import Limits


@dataclass(frozen=True)
class Expected:
    """What the settings say of a file: size in bytes, sums in small letters; None: nothing."""

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def has_checksum(self) -> bool:
        return bool(self.sha256 or self.md5)

    def measure(self, path: Path, name: str) -> tuple[dict, str]:
        """Size, sha256 and what else is expected of a file; and in words what of it is wrong.

        Without a checksum, what the file holds has to be what `name` says.
        """
        stated = {key: value for key, value in asdict(self).items() if value}
        measured = {"size": size_of(path)}
        for kind in {"sha256", *stated} - {"size"}:
            measured[kind] = _digest(path, kind)

        wrong = [
            f"{key} {measured[key]}, expected {value}"
            for key, value in stated.items()
            if measured[key] != value
        ]
        if not self.has_checksum and not wrong:
            problem = problem_of_content(path, name)
            wrong = [problem] if problem else []
        return measured, "; ".join(wrong)


def _digest(path: Path, kind: str) -> str:
    algorithm = partial(hashlib.new, kind, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


class PartialFile:
    """<target>.part, and beside it <target>.part.json, which says what file the part is of.

    Both stay after a break or a kill, so that the next attempt goes on where this one ended.
    """

    def __init__(self, name: str, target: Path, expected: Expected, limits: Limits = LIMITS):
        self.name = name
        self.target = target
        self.expected = expected
        self.limits = limits
        self.path = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        for path in (self.path, self.note):
            if is_something_else(path):
                raise InputError(f"{path}: no regular file; remove it and run again")

    @property
    def size(self) -> int:
        return size_of(self.path)

    def origin(self) -> dict:
        """The identity (see `web.identity`) of the file that the part is of; nothing if unknown."""
        note = read_note(self.note)
        size = note.get("size")
        # A note that was damaged says nothing. To Python, true is a whole number, too.
        is_size = size is None or (type(size) is int and size >= 0)
        validators = (note.get("etag"), note.get("last_modified"))
        are_texts = all(text is None or isinstance(text, str) for text in validators)
        return note if is_size and are_texts else {}

    def resume_at(self) -> int:
        """The byte to ask a server for next; 0 where the part cannot be trusted."""
        origin = self.origin()
        # Without a validator and without a checksum nothing would notice that the rest belongs to
        # another file.
        has_validator = origin.get("etag") or origin.get("last_modified")
        if not (has_validator or self.expected.has_checksum):
            return 0
        total = origin.get("size") or -1
        if self.size > total:
            return 0
        # A complete part asks for its last byte again: a range may not be empty.
        return min(self.size, total - 1)

    def receive(self, source: BinaryIO, offset: int, identity: dict) -> dict:
        """Write `source` from byte `offset` on. Returns size and sums of the whole.

        Raises BrokenError where another attempt may bring the rest, MirrorError where this source
        has another file than the expected one, InputError where the disk is too small.
        """
        arriving = chunks(source)
        head = next(arriving, b"")  # looked at before a partial file is given up for it
        page = page_in(head, self.target.name)
        if offset == 0 and page:
            raise MirrorError(f"{page} instead of the file")

        # Known before the first byte is written: that it is another file, or does not fit.
        total = identity["size"] or self.expected.size
        if self.expected.size and total != self.expected.size:
            raise MirrorError(f"size {total}, expected {self.expected.size}")
        if (total or 0) > self._most:
            raise MirrorError(f"size {total}, {self._too_large}")
        check_space(self.path, self._missing(total))

        try:
            self._write(chain([head], arriving), offset, identity, total)
        except OSError as error:  # of the disk: `chunks` makes those of the network BrokenErrors
            raise disk_error(self.path, self._missing(total), error) from error

        # A server may close a connection early as if that were the end.
        if self.size < (total or 1):
            raise BrokenError(
                f"the connection closed after {self.size} of {total or 'unknown'} bytes"
            )
        return self._verify(resumed=offset > 0)

    @property
    def _most(self) -> int:
        """Bytes that may arrive: a server that does not say how many might never end."""
        return self.expected.size or self.limits.file_bytes

    @property
    def _too_large(self) -> str:
        if self.expected.size:
            return f"more than the expected {self.expected.size} bytes"
        return (
            f"more than {self.limits.file_bytes} bytes; if that is right, raise "
            "`limits.file_bytes` of the data set, or state the size of the archive"
        )

    def _missing(self, total: int | None) -> int:
        return (total or 0) - self.size

    def _write(
        self, content: Iterable[bytes], offset: int, identity: dict, total: int | None
    ) -> None:
        progress = progress_bar(
            desc=self.name, total=total, initial=offset, unit="B", unit_scale=True
        )
        with self.path.open("r+b" if offset else "wb") as file, progress:
            # By now the old content is gone, so that the new note never describes it.
            if offset == 0:
                self.note.write_text(json.dumps(identity))

            # What lies beyond the offset is not trusted: a complete part gives up its last byte.
            file.seek(offset)
            file.truncate()
            arrived = offset
            for chunk in content:
                arrived += len(chunk)
                if arrived > self._most:
                    self._remove()
                    raise MirrorError(self._too_large)
                file.write(chunk)
                file.flush()  # a kill loses nothing that has arrived
                progress.update(len(chunk))
            # On the disk before it gets its name: a power cut leaves no empty file that counts.
            os.fsync(file.fileno())

    def _verify(self, resumed: bool) -> dict:
        measured, wrong = self.expected.measure(self.path, self.target.name)
        if not wrong:
            return measured

        self._remove()
        # The earlier part may be the bad one: the same mirror gets another try, from the start.
        raise BrokenError(wrong) if resumed else MirrorError(wrong)

    def _remove(self) -> None:
        self.path.unlink()
        self.note.unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the verified file its name."""
        os.replace(self.path, self.target)
        self.note.unlink(missing_ok=True)
