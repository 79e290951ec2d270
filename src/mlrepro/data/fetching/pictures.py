"""Many pictures, one request each: several at a time, each kept as soon as it is whole."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from mlrepro.data.disk import check_space, disk_error, locked, size_of
from mlrepro.data.fetching import web

PARALLEL = 32  # pictures fetched at a time
SLICE = 2048  # pictures queued at a time, which an interruption waits for

ProblemOf = Callable[[Path], str | None]  # what is wrong with a picture's file, if anything


def fetch_pictures(urls: Mapping[str, str], folder: Path, problem_of: ProblemOf) -> list[dict]:
    """Fetch pictures (path below `folder` -> address); return {image, reason} of those that failed.

    A picture gets its name when it is whole and `problem_of` its file is None. It is kept from then
    on: after a break or a kill, the same call goes on, and tries the failed ones again.

    Raises InputError for a disk that is, or by the size of the first ones will be, too small.
    """
    # What an earlier call has fetched is whole: it has its name.
    missing = [name for name in urls if size_of(folder / name) == 0]
    folder.mkdir(parents=True, exist_ok=True)
    progress = tqdm(desc="pictures", total=len(urls), initial=len(urls) - len(missing))
    pool = ThreadPoolExecutor(PARALLEL)
    try:
        with locked(folder), progress:
            return _fetch_missing(missing, urls, folder, problem_of, pool, progress)
    except OSError as error:
        raise disk_error(folder / "pictures", 0, error) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch_missing(
    missing: list[str],
    urls: Mapping[str, str],
    folder: Path,
    problem_of: ProblemOf,
    pool: ThreadPoolExecutor,
    progress: tqdm,
) -> list[dict]:
    def fetch_one(name: str) -> str | None:
        return _fetch_picture(urls[name], folder / name, problem_of)

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


def _fetch_picture(url: str, target: Path, problem_of: ProblemOf) -> str | None:
    """Put the picture at `target`, or say why not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in range(web.ATTEMPTS):
        try:
            with web.request(url) as response:
                content = response.read()
        except web.PASSING as error:
            reason = f"{error} ({web.ATTEMPTS} attempts)"
            web.pause(attempt)
            continue
        except web.MirrorError as error:
            return str(error)

        # Decoded before it gets its name: a server may send anything, with any status.
        part.write_bytes(content)
        reason = problem_of(part)
        if reason is None:
            os.replace(part, target)
            return None
        # It may have been cut short: where the length is not said, nobody notices. Ask again.
        part.unlink()
    return reason
