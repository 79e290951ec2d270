"""The spool: what stages say of their runs until the store has it, and the writer that empties it.

    <time>-<process>-<run>-s<seed>.jsonl    an event a line; the first describes the run
    ....offset                              the bytes of it that the store has
    ....refused                             such a file of which the store will not have an event
    writer.lock, writer.log                 the writer's process number, and what it printed
    problem.txt                             why the store could not be written to

Only the standard library is imported here: every stage pays for this module.
"""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPOOL = Path(".checkpoints/tracking")
SPOOLED = ".jsonl"
WRITER_LOCK = "writer.lock"
WRITER_LOG = "writer.log"
PROBLEM = "problem.txt"

NAME_LENGTH = 150  # of a run's name in that of a file, which may have 255 bytes
# After a failure the store is left alone for so long, unless a person asks.
PAUSE_SECONDS = 60
DRAIN_SECONDS = 60
POLL_SECONDS = 0.05


# ---- What a stage appends ----------------------------------------------------------------------


class SpoolFile:
    """The events of one run in one process. A killed process has appended its last one or has not.

    described: the first line, all that the writer must know of the run.
    """

    def __init__(self, name: str, described: dict, folder: Path = SPOOL):
        folder.mkdir(parents=True, exist_ok=True)

        # Their order by name is that of time: a training is written before its evaluation.
        stem = f"{_later_than_all(folder)}-{os.getpid()}-{name[:NAME_LENGTH]}"
        self.path = folder / (stem + SPOOLED)
        unnamed = folder / (stem + ".new")
        # For nobody else to read: the store's address may hold a password.
        self.descriptor = os.open(unnamed, os.O_CREAT | os.O_APPEND | os.O_WRONLY, mode=0o600)
        try:
            # Held as long as this process lives: who gets it knows that nothing more will come.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            self.append(described)
            unnamed.rename(self.path)
        except OSError:
            os.close(self.descriptor)
            unnamed.unlink(missing_ok=True)
            raise

    def append(self, event: dict) -> None:
        """Raises OSError where the disk has no room for all of it."""
        line = (json.dumps(event) + "\n").encode()
        # Nobody reads a line without its end.
        if os.write(self.descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        # Explicitly: processes that were forked from this one have the file open, too.
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)


def _later_than_all(folder: Path) -> int:
    """Nanoseconds now, or just after what waits there already, where the clock was set back."""
    begun = [path.name.partition("-")[0] for path in folder.glob("*" + SPOOLED)]
    waiting = [int(number) for number in begun if number.isdecimal()]
    return max(time.time_ns(), max(waiting, default=0) + 1)


# ---- What the writer reads ---------------------------------------------------------------------


class Spooled:
    """A spool file as the writer sees it."""

    def __init__(self, path: Path):
        self.path = path
        self.offset_path = path.with_suffix(".offset")

    @property
    def offset(self) -> int:
        """The bytes that the store has."""
        try:
            return int(self.offset_path.read_text())
        except (FileNotFoundError, ValueError):
            # Also of a note that a power cut has damaged: nothing is harmed by being written twice.
            return 0

    def is_unwritten(self) -> bool:
        """Whether it has what the store lacks."""
        try:
            return self.path.stat().st_size > self.offset
        except FileNotFoundError:
            return False  # the writer has just removed it

    def is_finished(self) -> bool:
        """Whether the process that wrote it has closed it or is gone."""
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def describes(self) -> dict:
        with self.path.open("rb") as file:
            return json.loads(file.readline())

    def read(self) -> tuple[list[dict], int]:
        """The events that the store lacks, and the bytes that it has once they are written."""
        start = self.offset
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if start == 0:
            lines = lines[1:]  # describes the run
        return [json.loads(line) for line in lines], start + len(whole)

    def written(self, offset: int) -> None:
        temporary = self.offset_path.with_suffix(".offset.tmp")
        temporary.write_text(str(offset))
        temporary.replace(self.offset_path)

    def remove(self) -> None:
        # The file first: without its offset it would be written again.
        self.path.unlink()
        self.offset_path.unlink(missing_ok=True)

    def refuse(self) -> None:
        """Puts it aside, so that it does not hold up the others."""
        self.path.rename(self.path.with_suffix(".refused"))


def spooled(folder: Path = SPOOL) -> list[Spooled]:
    """All spool files, the oldest first."""
    return [Spooled(path) for path in sorted(folder.glob("*" + SPOOLED))]


def unwritten(folder: Path = SPOOL) -> list[Path]:
    """Spool files with events that the store lacks."""
    return [file.path for file in spooled(folder) if file.is_unwritten()]


def retry_refused(folder: Path = SPOOL) -> None:
    """Spools again what an earlier writer put aside: this one may be of another version."""
    for path in folder.glob("*.refused"):
        path.rename(path.with_suffix(SPOOLED))


def problem(folder: Path = SPOOL) -> str | None:
    """Why the store could not be written to when the writer last tried; none if it could."""
    try:
        return (folder / PROBLEM).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


# ---- The writer's process ----------------------------------------------------------------------


@contextmanager
def writer_lock(folder: Path = SPOOL) -> Iterator[int | None]:
    """The open lock that the one writer holds; None where a writer runs."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / WRITER_LOCK, os.O_CREAT | os.O_RDWR, mode=0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False

    try:
        yield lock if free else None
    finally:
        # Closed, not unlocked: a writer that was started meanwhile goes on holding it.
        os.close(lock)


def start_writer(folder: Path = SPOOL) -> None:
    """Starts the writer, unless one runs or has failed a moment ago."""
    with writer_lock(folder) as lock:
        if lock is not None and not _failed_lately(folder):
            _start(folder, lock)


def _failed_lately(folder: Path) -> bool:
    try:
        age = time.time() - (folder / PROBLEM).stat().st_mtime
    except FileNotFoundError:
        return False
    return 0 <= age < PAUSE_SECONDS


def _start(folder: Path, lock: int) -> None:
    """It outlives the stage, Ctrl-C does not reach it, and it has the lock from the beginning."""
    command = [sys.executable, "-m", "mlrepro.tracking.writer", str(folder), "--lock", str(lock)]
    with (folder / WRITER_LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(process.pid).encode(), 0)


def drain(folder: Path = SPOOL, seconds: float = DRAIN_SECONDS) -> list[Path]:
    """Waits until the store has what is in the spool, and starts a writer if none runs.

    Returns the spool files that the store still lacks something of, when that writer has given up
    or the time is over.
    """
    deadline = time.monotonic() + seconds
    started = False
    while unwritten(folder) and time.monotonic() < deadline:
        with writer_lock(folder) as lock:
            if lock is not None and started:
                break
            if lock is not None:
                _start(folder, lock)
                started = True
        time.sleep(POLL_SECONDS)
    return unwritten(folder)
