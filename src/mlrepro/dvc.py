"""What a stage knows of the DVC that runs it: its process, and what its cache holds.

DVC itself is not imported, which would take a second of every stage. Names of files and variables
are those of DVC 3.
"""

import configparser
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

# Variables of a stage's command: the stage's address, and the repository's root.
STAGE = "DVC_STAGE"
ROOT = "DVC_ROOT"

# Which process reads and writes what, a file of JSON.
LOCKS = Path(".dvc/tmp/rwlock")
# DVC empties the file before it writes it again.
READ_ATTEMPTS = 20
READ_PAUSE_SECONDS = 0.01

# The kernel's letters for a process that has ended and is still listed.
ENDED = ("Z", "X")


def runs_this() -> bool:
    """Whether DVC has started this process, and not a person."""
    return STAGE in os.environ


def _root() -> Path:
    return Path(os.environ.get(ROOT, "."))


# ---- The process that runs a stage -------------------------------------------------------------


@dataclass(frozen=True)
class Runner:
    """A process of DVC. began: tells it from a later one of the same number."""

    process: int
    began: str | None

    def is_gone(self) -> bool:
        began = _began(self.process)
        return began is None or began != self.began


def runner_of(output: Path) -> Runner | None:
    """The DVC that has `output` written; none outside DVC, and where the system does not say."""
    if not runs_this() or _began(os.getpid()) is None:
        return None
    writer = _read_locks().get("write", {}).get(str(output.absolute()))
    if not writer:
        return None
    return Runner(writer["pid"], _began(writer["pid"]))


def _read_locks() -> dict:
    for _ in range(READ_ATTEMPTS):
        try:
            return json.loads((_root() / LOCKS).read_text())
        except FileNotFoundError:
            break
        except ValueError:
            time.sleep(READ_PAUSE_SECONDS)
    return {}


def _began(process: int) -> str | None:
    """When a process began, as the kernel counts; none of one that has ended, or without /proc."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    # Behind the program's name, which may have anything in it. proc(5) counts from 1, with the
    # process's number and this name: the state is the third, the time of its start the 22nd.
    _, _, behind_name = text.rpartition(")")
    fields = behind_name.split()
    state = fields[0]
    began = fields[19]
    return None if state in ENDED else began


# ---- The cache ---------------------------------------------------------------------------------


def object_name(path: Path) -> str:
    """What DVC calls the content of a file or of a folder: its digest."""
    if path.is_file():
        return _md5(path)

    entries = [
        {"md5": _md5(file), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file()
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    listing = json.dumps(entries, sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def is_cached(name: str) -> bool:
    """Whether the cache has the content of that name."""
    return (_cache_folder() / "files" / "md5" / name[:2] / name[2:]).exists()


def _cache_folder() -> Path:
    """Where the repository's settings put it."""
    settings = _root() / ".dvc"
    for name in ("config.local", "config"):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            config.read(settings / name)
        except configparser.Error:
            continue
        folder = config.get("cache", "dir", fallback="").strip("\"'")
        if folder:
            return settings / folder
    return settings / "cache"
