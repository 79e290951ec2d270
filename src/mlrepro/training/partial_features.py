"""Features of which an extraction has written the first rows."""

import math
import zlib
from pathlib import Path

from tqdm import tqdm

from mlrepro.data.disk import read_note
from mlrepro.data.features import open_features, start_of_features
from mlrepro.files import write_json

READ_BYTES = 2**24  # at a time, of a file that may be larger than the memory


class PartialFeatures:
    """A file of features in a checkpoint's folder, and done.json: bytes that are written, checksum.

    values: (total, ...) float32, mapped from the file, of which the first `done` rows are written;
            none where all are.

    Announces where it goes on. What is not as it was written is announced, too, and all rows are
    to be written anew.
    """

    def __init__(self, folder: Path, header: dict, shape: tuple[int, ...]):
        self.file = folder / "features.safetensors"
        self.note = folder / "done.json"
        self.total = shape[0]

        start = start_of_features(header, shape)
        self.start_bytes = len(start)
        self.row_bytes = 4 * math.prod(shape[1:])
        self.done = 0
        self.checksum = zlib.crc32(start)
        self._look_at_written()

        self.values = None
        if self.done < self.total:
            self.values = open_features(self.file, header, shape, resume=self.done > 0)

    def _look_at_written(self) -> None:
        if not self.note.exists():
            return
        noted = read_note(self.note)
        size = noted.get("bytes")
        if isinstance(size, int) and noted.get("crc32") == _checksum(self.file, size):
            self.done = (size - self.start_bytes) // self.row_bytes
            self.checksum = noted["crc32"]
            tqdm.write(f"resumed at picture {self.done} of {self.total}")
            return

        tqdm.write(
            f"{self.file}: damaged or cut off, by its checksum; it is removed, starting from the "
            "beginning"
        )
        self.note.unlink()
        # Not written over: DVC's cache may have the same file by another name.
        self.file.unlink(missing_ok=True)

    def note_rows(self, rows: int) -> None:
        """Notes that so many are written: the rows first, then the word that they are there."""
        written = self.values[self.done : rows]
        self.values.flush()
        self.checksum = zlib.crc32(written, self.checksum)
        self.done = rows
        size = self.start_bytes + rows * self.row_bytes
        write_json(self.note, {"bytes": size, "crc32": self.checksum})


def _checksum(file: Path, size: int) -> int | None:
    """Of the first `size` bytes; none where the file has fewer."""
    if not file.is_file() or file.stat().st_size < size:
        return None
    checksum = 0
    with file.open("rb") as opened:
        while size > 0:
            part = opened.read(min(size, READ_BYTES))
            checksum = zlib.crc32(part, checksum)
            size -= len(part)
    return checksum
