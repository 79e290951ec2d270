"""One verified file from several mirrors: web servers, local files, and folders that hold it."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.request import url2pathname

from mlrepro.addresses import without_secrets
from mlrepro.data.disk import locked, size_of
from mlrepro.data.fetching import web
from mlrepro.data.fetching.partial import Expected, PartialFile
from mlrepro.data.fetching.web import CHUNK, LIMITS, MirrorError
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.settings.data import Limits

PRESENT = "present"  # the mirror of a file that was there already


def fetch(
    name: str,
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    limits: Limits = LIMITS,
) -> tuple[dict, str]:
    """Put the verified file `name` at `target`.

    Returns its name, size in bytes and sha256, and the mirror that gave it (or "present").

    `urls` are tried in order: http, https or file addresses, paths of a file or of a folder that
    holds `name`. In an http address, ${NAME} stands for a variable of the environment. A file at
    `target` is checked and kept, whoever placed it. A download goes on from `<target>.part` after a
    break or a kill. Without a checksum, a file has to be what its name says, and a warning names
    the sha256 found. Messages show addresses without user, password and tokens.

    Raises InputError for a wrong file at `target`, a disk that is too small, or when every mirror
    fails (the message lists why).
    """
    expected = Expected(size, _small_letters(sha256), _small_letters(md5))
    measured = None
    mirror = PRESENT

    # Looked at first without the lock: the folder may be a read-only one that others share.
    if not target.exists():
        # A place that nothing can be fetched to gets no lock either.
        if not urls:
            raise _not_fetched(name, target, " no address in the settings")
        with _sole_writer_of(target):
            if not target.exists():  # no other process was faster
                part = PartialFile(name, target, expected, limits)
                measured, mirror = _fetch_from_mirrors(name, urls, part)
    if measured is None:
        measured = _measure_present(name, target, expected)

    # So that a user can write it down, and the next machine gets the same file or an error.
    if not expected.has_checksum:
        print(
            f"warning: {name} has no checksum in the settings and was accepted unchecked; "
            f"add sha256: {measured['sha256']}",
            file=sys.stderr,
        )
    return {"name": name, "size": measured["size"], "sha256": measured["sha256"]}, mirror


def _small_letters(checksum: str | None) -> str | None:
    return checksum.lower() if checksum else None


def _sole_writer_of(target: Path) -> AbstractContextManager[None]:
    """A lock that other processes which want the same file wait for."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(target.name + ".lock")
    if is_something_else(lock):
        raise InputError(f"{lock}: no regular file; remove it and run again")
    lock.touch()
    return locked(lock)


def _measure_present(name: str, target: Path, expected: Expected) -> dict:
    if is_something_else(target):
        raise InputError(f"{target}: no regular file; remove it and run again")
    measured, wrong = expected.measure(target, target.name)
    if wrong:
        raise InputError(
            f"{target}: not the expected {name}: {wrong}. "
            "Delete it or move it away, then run again; "
            "if the file is the right one, correct the settings"
        )
    return measured


def _fetch_from_mirrors(name: str, urls: Sequence[str], part: PartialFile) -> tuple[dict, str]:
    failures = []
    for url in urls:
        shown = without_secrets(url)
        try:
            measured = _fetch_from(url, part)
        except MirrorError as error:
            reason = without_secrets(str(error))
            # Said at once: the next mirror may take hours.
            print(f"{name}: {shown}: {reason}", file=sys.stderr)
            failures.append(f"\n  {shown}: {reason}")
            continue
        part.publish()
        return measured, shown
    raise _not_fetched(name, part.target, "".join(failures))


def _not_fetched(name: str, target: Path, reasons: str) -> InputError:
    return InputError(
        f"{name} could not be fetched:{reasons}\n"
        "Correct the addresses or the checksum in the settings, "
        f"or place the file by hand at {target}"
    )


def _fetch_from(url: str, part: PartialFile) -> dict:
    scheme = url.partition("://")[0].lower() if "://" in url else "file"
    if scheme == "file":
        return _copy(url, part)
    if scheme in ("http", "https"):
        return _download(url, part)
    raise MirrorError(f"{scheme}:// is not supported")


# --- a local mirror -------------------------------------------------------------------------------


def _copy(url: str, part: PartialFile) -> dict:
    path = _local_path(url)
    if path.is_dir():
        path = path / part.name
    if not (path.is_file() and os.access(path, os.R_OK)):
        shown = without_secrets(f"//{path}").removeprefix("//")
        raise MirrorError(f"no readable file {shown}")

    with path.open("rb") as source:
        return part.receive(source, 0, {"size": size_of(path)})


def _local_path(url: str) -> Path:
    path = url
    if "://" in url:
        # file://localhost/path and file:///path are the same; %20 stands for a space.
        _, _, path = url.partition("://")
        path = url2pathname(path.removeprefix("localhost"))
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise MirrorError(f"{path}: nobody knows the home folder that ~ stands for") from None


# --- a web server ---------------------------------------------------------------------------------


def _download(url: str, part: PartialFile) -> dict:
    """Ask again for what is missing, until a few requests in a row have brought nothing new."""
    failures = 0
    reached = part.size
    while True:
        try:
            return _attempt(url, part)
        except web.PASSING as error:  # those of the disk are InputErrors by now
            # A long download may break often: only attempts that brought nothing new are counted.
            if part.size >= reached + CHUNK:
                failures = 0
            else:
                failures += 1
            reached = max(reached, part.size)

            if failures == web.ATTEMPTS:
                reason = web.shortened(str(error))
                raise MirrorError(f"{reason} ({web.ATTEMPTS} attempts)") from error
            web.pause(failures, getattr(error, "wait", 0))


def _attempt(url: str, part: PartialFile) -> dict:
    offset = part.resume_at()
    response = web.request(url, offset, part.limits)

    # The rest (206), or none (416), of another file than the part is of: start again.
    is_a_range = offset > 0 and response.status in (206, web.WRONG_RANGE)
    if is_a_range and web.identity(response, offset) != part.origin():
        response.close()
        offset = 0
        response = web.request(url, 0, part.limits)

    with response:
        offset = web.starts_at(response, offset, part.target.name)
        return part.receive(response, offset, web.identity(response, offset))
