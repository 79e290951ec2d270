"""Resume checkpoints: one file an unfinished training, keyed by everything that determines its result.

They live in .checkpoints/ (ignored by git and DVC), because DVC deletes a stage's outputs before it runs.
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

import mlrepro
from mlrepro.errors import InputError
from mlrepro.provenance import code_digests

ROOT = Path(".checkpoints")
CODE = (
    "settings",
    "data",
    "losses",
    "metrics",
    "models",
    "training",
)  # what a trained weight depends on


def training_code() -> dict[str, str]:
    """Digests of every module that training depends on, by its name inside the package."""
    package = Path(mlrepro.__file__).parent
    return code_digests([package / part for part in CODE], package)


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
        yield


class Checkpoint:
    """The state of training `name` (`<run>-s<seed>`), valid for one fingerprint. `parts`: whatever determines the result
    (settings, digests of code and data); a checkpoint with other parts is announced and removed, never resumed."""

    def __init__(self, name: str, parts: dict):
        self.parts = parts
        text = json.dumps(parts, sort_keys=True)
        self.folder = ROOT / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        for folder in ROOT.glob(f"{name}-????????????"):
            if folder != self.folder and (folder / "parts.json").is_file():
                old = json.loads((folder / "parts.json").read_text())
                changed = sorted(key for key in {*old, *parts} if old.get(key) != parts.get(key))
                tqdm.write(
                    f"{name}: an interrupted training is not resumed, since {', '.join(changed)} changed; starting afresh"
                )
                shutil.rmtree(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "parts.json").write_text(text)

    def load(self) -> dict | None:
        path = self.folder / "state.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None

    def save(self, state: dict) -> None:
        """Replaces the checkpoint as a whole: a process killed at any moment leaves the old or the new one."""
        temporary = self.folder / "state.tmp"
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / "state.pt")

    def delete(self) -> None:
        shutil.rmtree(self.folder)
