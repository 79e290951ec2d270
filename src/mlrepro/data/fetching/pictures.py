"""Many pictures, one request each: several at a time, each kept as soon as it is whole."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from mlrepro.addresses import without_secrets
from mlrepro.data.disk import check_space, disk_error, locked, size_of
from mlrepro.data.fetching import web
from mlrepro.files import is_something_else
from mlrepro.progress import progress_bar
from mlrepro.settings.data import Limits

PARALLEL = 32  # pictures fetched at a time
SLICE = 2048  # pictures queued at a time, which an interruption waits for

ProblemOf = Callable[[Path], str | None]  # what is wrong with a picture's file, if anything


def fetch_pictures(
    urls: Mapping[str, str], folder: Path, problem_of: ProblemOf, limits: Limits = web.LIMITS
) -> list[dict]:
    """Fetch pictures (path below `folder` -> address); return {image, reason} of those that failed.

    A picture gets its name when it is whole and `problem_of` its file is None. It is kept from then
    on: after a break or a kill, the same call goes on, and tries the failed ones again.

    Raises InputError for a disk that is, or by the size of the first ones will be, too small.
    """
    # What an earlier call has fetched is whole: it has its name.
    missing = [name for name in urls if size_of(folder / name) == 0]
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress_bar(desc="pictures", total=len(urls), initial=len(urls) - len(missing))
    pool = ThreadPoolExecutor(PARALLEL)
    try:
        with locked(folder), progress:
            fetch_one = partial(
                _fetch_named, urls=urls, folder=folder, problem_of=problem_of, limits=limits
            )
            return _fetch_missing(missing, folder, fetch_one, pool, progress)
    except OSError as error:
        raise disk_error(folder / "pictures", 0, error) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch_missing(
    missing: list[str],
    folder: Path,
    fetch_one: Callable[[str], str | None],
    pool: ThreadPoolExecutor,
    progress: tqdm,
) -> list[dict]:
    failed = []
    received = 0  # bytes
    # In slices, since an interruption waits for everything that is queued.
    for start in range(0, len(missing), SLICE):
        names = missing[start : start + SLICE]
        for name, reason in zip(names, pool.map(fetch_one, names), strict=True):
            if reason is not None:
                failed.append({"image": name, "reason": reason})
            received += size_of(folder / name)
            progress.update()

        # Nobody says how large the pictures are: those that came so far have to tell.
        tried = start + len(names)
        expected = received * (len(missing) - tried) // tried  # bytes
        progress.set_postfix_str(f"about {expected / 1e9:.1f} GB to come")
        check_space(folder / "pictures", expected)
    return failed


def _fetch_named(
    name: str, urls: Mapping[str, str], folder: Path, problem_of: ProblemOf, limits: Limits
) -> str | None:
    reason = _fetch_picture(urls[name], folder / name, problem_of, limits)
    # It is kept in failed.json.
    return reason if reason is None else without_secrets(reason)


def _fetch_picture(url: str, target: Path, problem_of: ProblemOf, limits: Limits) -> str | None:
    """Put the picture at `target`, or say why not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for path in (target, part):
        if is_something_else(path):
            return f"{path.name} is no regular file; remove it"

    for attempt in range(web.ATTEMPTS):
        try:
            _receive(url, part, target.name, limits)
        except web.BrokenError as error:
            reason = f"{error} ({web.ATTEMPTS} attempts)"
            web.pause(attempt, error.wait)
            continue
        except web.MirrorError as error:
            part.unlink(missing_ok=True)
            return str(error)

        # Decoded before it gets its name: a server may send anything, with any status.
        reason = problem_of(part)
        if reason is None:
            os.replace(part, target)
            return None
        # It may have been cut short: where the length is not said, nobody notices. Ask again.
        part.unlink()
    part.unlink(missing_ok=True)
    return reason


def _receive(url: str, part: Path, name: str, limits: Limits) -> None:
    """Write what a server sends, up to the limit of a picture, to `part`."""
    try:
        response = web.request(url, 0, limits)
    except (OSError, HTTPException) as error:  # of the network
        raise web.BrokenError(str(error)) from error

    received = 0  # bytes
    with response, part.open("wb") as file:
        web.check_encoding(response, name)
        for chunk in web.chunks(response):
            received += len(chunk)
            if received > limits.picture_bytes:
                raise web.MirrorError(
                    f"more than {limits.picture_bytes} bytes; "
                    "if that is right, raise `limits.picture_bytes` of the data set"
                )
            file.write(chunk)

        # What the server said would come, and did not.
        if response.length:
            raise web.BrokenError(
                f"IncompleteRead({received} bytes read, {response.length} more expected)"
            )
