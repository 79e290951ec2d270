"""The spool: events of runs as JSON lines, in a file a run and process, and the writer that empties it.

Only the standard library is imported here: every stage pays for this module.
"""

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
WRITER_LOCK = "writer.lock"
WRITER_LOG = "writer.log"
PROBLEM = "problem.txt"


class SpoolFile:
    """The events of one run in one process; a line is appended whole or, by a killed process, not at all."""

    def __init__(self, name: str, folder: Path = SPOOL):
        folder.mkdir(parents=True, exist_ok=True)
        # Two processes at work on one run have a file each; the time tells a process from an earlier one of its number.
        self.path = folder / f"{name}.{os.getpid()}-{time.time_ns()}.jsonl"
        self.lock = self.path.open("a", encoding="utf-8")
        # Held as long as this process lives: who gets it knows that nothing more is coming.
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def append(self, event: dict) -> None:
        self.lock.write(json.dumps(event) + "\n")
        self.lock.flush()

    def close(self) -> None:
        self.lock.close()


def read_events(path: Path, offset: int) -> tuple[list[dict], int]:
    """The whole lines of a spool file from a byte on, and the byte after them."""
    with path.open("rb") as file:
        file.seek(offset)
        lines = file.read()
    whole = lines[: lines.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def is_finished(path: Path) -> bool:
    """Whether the process that wrote a spool file has closed it or is gone."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def writer_lock(folder: Path = SPOOL) -> Iterator[bool]:
    """Holds the one writer's lock, if nobody else does; gives whether it does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / WRITER_LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def start_writer(folder: Path = SPOOL) -> None:
    """Starts the writer, unless one runs. It outlives the stage, and Ctrl-C does not reach it."""
    with writer_lock(folder) as free:
        if not free:
            return

    with (folder / WRITER_LOG).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "mlrepro.tracking.writer"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def problem(folder: Path = SPOOL) -> str | None:
    """Why the store could not be written to when the writer last tried; none if it could."""
    try:
        return (folder / PROBLEM).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def pending(folder: Path = SPOOL) -> list[Path]:
    """Spool files with events that may not be in the store yet."""
    return sorted(folder.glob("*.jsonl"))
