"""Resume checkpoints: one file an unfinished training, keyed by everything that determines it.

They live in .checkpoints/ (ignored by git and DVC), because DVC deletes a stage's outputs before it
runs.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from mlrepro.errors import InputError

ROOT = Path(".checkpoints")


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Holds the lock of `name`; a second process that asks for it gets an InputError at once."""
    ROOT.mkdir(exist_ok=True)
    with (ROOT / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{name}: another process is at work on it right now; wait for it or stop it"
            ) from None
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
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "parts.json").write_text(text)

    def _remove_others(self) -> None:
        # Twelve characters, as of the fingerprint: not those of a longer name.
        for folder in ROOT.glob(f"{self.name}-????????????"):
            parts_file = folder / "parts.json"
            if folder == self.folder or not parts_file.is_file():
                continue

            old = json.loads(parts_file.read_text())
            keys = {*old, *self.parts}
            changed = sorted(key for key in keys if old.get(key) != self.parts.get(key))
            tqdm.write(
                f"{self.name}: an interrupted training is not resumed, since "
                f"{', '.join(changed)} changed; starting afresh"
            )
            shutil.rmtree(folder)

    def load(self) -> dict | None:
        """What was saved last, tensors on the CPU; none if nothing was."""
        path = self.folder / "state.pt"
        if not path.is_file():
            return None
        return torch.load(path, map_location="cpu", weights_only=True)

    def save(self, state: dict) -> None:
        """Replaces the checkpoint as a whole.

        A process killed at any moment leaves the old or the new one.
        """
        temporary = self.folder / "state.tmp"
        with temporary.open("wb") as file:
            torch.save(state, file)
            # On the disk before it gets its name: a power cut must not leave a name alone.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / "state.pt")

    def delete(self) -> None:
        shutil.rmtree(self.folder)
