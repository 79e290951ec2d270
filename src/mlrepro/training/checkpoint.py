"""Resume checkpoints: one folder an unfinished training, keyed by everything that determines it.

    .checkpoints/<name>-<fingerprint>/
        parts.json                    what the fingerprint is of
        state-<number>-<sha256>.pt    what was saved last, and what was saved before it
        finished.json                 of a training that has ended, until DVC holds what it gave
        *.damaged                     files that are not what was saved, set aside
    .checkpoints/<name>.lock          the number of the process that is or was at work on it

They live in .checkpoints/ (ignored by git and DVC), because DVC deletes a stage's outputs before it
runs.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from tqdm import tqdm

from mlrepro import dvc
from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_bytes, write_json
from mlrepro.system_errors import system_error

ROOT = Path(".checkpoints")
PARTS = "parts.json"
FINISHED = "finished.json"

# Names tell the order, not times: a clock may be set back.
STATE = re.compile(r"state-(\d+)-([0-9a-f]{64})\.pt")
KEPT_STATES = 2
# In a state: the folder that it was saved in.
SAVED_IN = "saved_in"


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Holds the lock of `name`; a second process that asks for it gets an InputError at once."""
    ROOT.mkdir(exist_ok=True)
    path = ROOT / f"{name}.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read() or "unknown"
            raise InputError(
                f"{name}: another process is at work on it right now (process {holder}); wait for "
                "it or stop it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        # The lock goes with the process, however that ends.
        yield


class Checkpoint:
    """The state of the training `name` (`<run>-s<seed>`), valid for one fingerprint.

    parts: whatever determines the result (settings, digests of code and data). A checkpoint of the
    same name with other parts is announced and removed, never resumed.
    """

    def __init__(self, name: str, parts: dict):
        self.name = name
        self.parts = parts
        text = json.dumps(parts, sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.folder = ROOT / f"{name}-{fingerprint}"

        self._remove_others()
        self._look_at_finished()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / PARTS, text.encode())

    # ---- Other trainings of the same name ----------------------------------------------------

    def _remove_others(self) -> None:
        # Twelve characters, as of the fingerprint: not those of a longer name.
        for folder in ROOT.glob(f"{self.name}-????????????"):
            if folder == self.folder or not (folder / PARTS).is_file():
                continue
            if not _is_held(folder):
                tqdm.write(
                    f"{self.name}: an interrupted training is not resumed, since "
                    f"{self._changed(folder)}; starting afresh"
                )
            shutil.rmtree(folder)

    def _changed(self, folder: Path) -> str:
        """What an earlier training had otherwise."""
        old = _read_note(folder / PARTS)
        if old is None:
            return f"{folder / PARTS} is damaged"
        keys = {*old, *self.parts}
        changed = sorted(key for key in keys if old.get(key) != self.parts.get(key))
        return f"{', '.join(changed)} changed"

    # ---- Of a training that has ended --------------------------------------------------------

    def finish(self, outputs: list[Path], lock: str) -> None:
        """Notes that the training has ended, where DVC runs it; else deletes its checkpoint.

        A machine may die, or a cache be full, before DVC holds the outputs, and it deletes them
        before it runs the stage again: that then writes them again, from the last state. lock: the
        name that the training holds exclusively.
        """
        if not dvc.runs_this():
            self.delete()
            return
        objects = [dvc.object_name(path) for path in outputs]
        write_json(self.folder / FINISHED, {"objects": objects, "lock": lock})

    def _look_at_finished(self) -> None:
        if not (self.folder / FINISHED).is_file():
            return
        # Somebody wants it trained again (dvc repro -f).
        if _is_held(self.folder):
            shutil.rmtree(self.folder)
            return
        tqdm.write(
            f"{self.name}: finished before, and DVC does not hold it yet; it is handed over, not "
            "made again"
        )

    def delete(self) -> None:
        shutil.rmtree(self.folder)

    # ---- States ------------------------------------------------------------------------------

    def load(self) -> dict | None:
        """What was saved last, tensors on the CPU; none if nothing was.

        A file that is not as it was saved is announced and set aside; the one before it counts.
        """
        states = self._states()
        while states:
            path = states.pop()
            try:
                return self._read(path)
            except _DamagedState as damage:
                aside = path.with_suffix(".damaged")
                path.rename(aside)
                instead = "the one before it is used" if states else "starting from the beginning"
                tqdm.write(f"{path}: {damage}; it is set aside as {aside.name}, {instead}")
        return None

    def _states(self) -> list[Path]:
        """The oldest first; what has no number comes before all."""
        return sorted(self.folder.glob("*.pt"), key=_number)

    def _read(self, path: Path) -> dict:
        """Raises _DamagedState, whose text says why, for what is not as it was saved here."""
        named = STATE.fullmatch(path.name)
        if not named or not path.is_file():
            raise _DamagedState("no checkpoint of this program")
        try:
            digest = file_sha256(path)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise _DamagedState("the disk cannot read it") from None
        if digest != named.group(2):
            raise _DamagedState("damaged or cut off, by its checksum")

        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            saved_in = state.pop(SAVED_IN)
        except Exception:  # whatever is raised for bytes that torch did not write
            raise _DamagedState("no checkpoint of this program") from None
        if saved_in != self.folder.name:
            raise _DamagedState(f"of another training ({saved_in})")
        return state

    def save(self, state: dict) -> None:
        """Saves the next state, and removes all but the one before it.

        A process killed at any moment leaves the old ones or the new one, and so does a full disk,
        of which OSError tells.
        """
        states = [path for path in self._states() if _number(path) >= 0]
        number = _number(states[-1]) + 1 if states else 0
        temporary = self.folder / "state.tmp"
        try:
            with temporary.open("wb") as file:
                torch.save(state | {SAVED_IN: self.folder.name}, file)
                # On the disk before it gets its name: a power cut must not leave a name alone.
                file.flush()
                os.fsync(file.fileno())
            digest = file_sha256(temporary)
            temporary.rename(self.folder / f"state-{number:06d}-{digest}.pt")
        except (OSError, RuntimeError) as error:
            refused = system_error(error, temporary)
            with suppress(OSError):
                temporary.unlink()
            if refused is None:
                raise
            raise refused from error

        for older in states[: 1 - KEPT_STATES]:
            older.unlink()


class _DamagedState(Exception):
    """A file that is not what was saved under its name."""


def _number(path: Path) -> int:
    named = STATE.fullmatch(path.name)
    return int(named.group(1)) if named else -1


# ---- What DVC holds ----------------------------------------------------------------------------


def remove_held() -> None:
    """Removes the checkpoints of trainings that have ended and whose outputs DVC holds by now."""
    for note in ROOT.glob(f"*/{FINISHED}"):
        if not _is_held(note.parent):
            continue
        # Who is at work on it sees to it.
        with suppress(InputError), exclusive(_read_note(note)["lock"]):
            shutil.rmtree(note.parent)


def finished_objects(folder: Path) -> list[str]:
    """The outputs of the training that has ended, by DVC's names; none of one that has not."""
    note = _read_note(folder / FINISHED) or {}
    return note.get("objects", [])


def _is_held(folder: Path) -> bool:
    """Whether DVC's cache has the outputs of the training that has ended."""
    objects = finished_objects(folder)
    return bool(objects) and all(dvc.is_cached(name) for name in objects)


def _read_note(path: Path) -> dict | None:
    """None where it is absent or damaged."""
    try:
        note = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return note if isinstance(note, dict) else None
