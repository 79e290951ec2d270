"""One head a study and remote: a small file in the remote says whose, without any clock."""

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.repo import Repo

from mlrepro.errors import InputError

FOLDER = "mlrepro-launch"
# What a claim says: its head, and a token that no other has.
KEYS = ("host", "folder", "pid", "token")


@contextmanager
def claimed(study: str, take_over: bool) -> Iterator[None]:
    """Holds the study in the remote. Raises InputError where another head holds it.

    A head that died in this very checkout holds it no more, since that had the launch's lock.
    take_over: nor does any other.
    """
    own = {
        "host": socket.gethostname(),
        "folder": str(Path.cwd()),
        "pid": os.getpid(),
        "token": secrets.token_hex(8),
    }
    # The remote as a file system, whether it is a folder, S3 or SSH.
    with Repo() as repo:
        remote = repo.cloud.get_remote()
        fs = remote.fs
        path = fs.join(remote.path, FOLDER, f"{study}.json")

    try:
        fs.makedirs(fs.parent(path), exist_ok=True)
        if fs.exists(path):
            _take_over(fs, path, study, own, take_over)
        fs.pipe_file(path, json.dumps(own).encode(), mode="create")
        # Where a file system knows no mode, another head's may have taken its place.
        if _read(fs, path) != own:
            raise FileExistsError
    except FileExistsError:
        raise InputError(
            f"{study}: another head began to launch it at this moment; wait for it"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: the DVC remote cannot be used ({error}); see `dvc remote list` and its room"
        ) from None

    try:
        yield
    finally:
        # Else another head has taken over.
        if fs.exists(path) and _read(fs, path) == own:
            fs.rm_file(path)


def _take_over(fs, path: str, study: str, own: dict, allowed: bool) -> None:
    """Removes another head's claim, if that may be gone."""
    other = _read(fs, path)
    same_checkout = other["host"] == own["host"] and other["folder"] == own["folder"]
    if not allowed and not same_checkout:
        raise InputError(
            f"{study}: process {other['pid']} on {other['host']} in {other['folder']} is launching "
            "it to the same DVC remote; wait for it, or if it is gone, launch with --take-over"
        )
    print(
        f"{study}: taking over from process {other['pid']} on {other['host']}; jobs that it left "
        "on a cluster go on, and unless you cancel them, what they train is trained twice",
        flush=True,
    )
    fs.rm_file(path)


def _read(fs, path: str) -> dict:
    """A claim; of an unknown head where its file is none, such as one that was cut off."""
    try:
        claim = json.loads(fs.cat_file(path))
        return {key: claim[key] for key in KEYS}
    except (ValueError, TypeError, KeyError):
        return dict.fromkeys(KEYS, "unknown")
