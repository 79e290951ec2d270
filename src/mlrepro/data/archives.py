"""Archives of data sets: fetch one verified file from several mirrors, extract it without trusting its member names."""

import fcntl
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException, HTTPResponse
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, url2pathname, urlopen

from tqdm import tqdm

from mlrepro.errors import InputError

CHUNK = 1 << 20  # bytes
ATTEMPTS = 4  # requests in a row to one mirror that bring nothing new
BACKOFF = 0.5  # seconds, doubled with each failure in a row
TIMEOUT = 30.0  # seconds, of each wait on a socket
PARALLEL = 32  # pictures fetched at a time
SLICE = 2048  # pictures queued at a time, which an interruption waits for

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)  # the last one: a zip with a compression that Python does not know
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")


class _MirrorError(Exception):
    """This mirror cannot give the file; the message says why."""


class _Broken(_MirrorError):
    """As above, but another attempt may succeed."""


def fetch(
    name: str,
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
) -> tuple[dict, str]:
    """Put the verified archive `name` at `target`; return its name, size in bytes and sha256, and its mirror (or "present").

    `urls` are tried in order: http, https or file addresses, paths of a file or of a folder that holds `name`. A file
    at `target` is checked and kept, whoever placed it. A download goes on from `<target>.part` after a break or a
    kill. Without a checksum a warning names the sha256 found.

    Raises InputError for a wrong file at `target`, a disk that is too small, or when every mirror fails (lists why).
    """
    wanted = {"size": size, "sha256": sha256 and sha256.lower(), "md5": md5 and md5.lower()}
    wanted = {key: value for key, value in wanted.items() if value}
    measured, source = {}, "present"
    if not target.exists():  # looked at first without the lock: the folder may be a read-only one
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(target.name + ".lock")
        lock.touch()
        with _locked(lock):
            if not target.exists():
                measured, source = _fetch_from_mirrors(name, urls, target, wanted)
    if not measured:
        measured, wrong = _measure(target, wanted)
        if wrong:
            raise InputError(
                f"{target}: not the expected {name}: {wrong}. Delete it or move it away, then run again; "
                "if the file is the right one, correct the settings"
            )
    if not wanted.keys() & {"sha256", "md5"}:
        print(
            f"warning: {name} has no checksum in the settings and was accepted unchecked; "
            f"add sha256: {measured['sha256']}",
            file=sys.stderr,
        )
    return {"name": name, "size": measured["size"], "sha256": measured["sha256"]}, source


def _fetch_from_mirrors(
    name: str, urls: Sequence[str], target: Path, wanted: dict
) -> tuple[dict, str]:
    part, reasons = target.with_name(target.name + ".part"), ""
    for url in urls:
        scheme = url.partition("://")[0].lower() if "://" in url else "file"
        try:
            if scheme not in ("file", "http", "https"):
                raise _MirrorError(f"{scheme}:// is not supported")
            measured = (_copy if scheme == "file" else _download)(name, url, part, wanted)
        except _MirrorError as error:
            print(f"{name}: {url}: {error}", file=sys.stderr)
            reasons += f"\n  {url}: {error}"
            continue
        os.replace(part, target)
        Path(f"{part}.json").unlink(missing_ok=True)
        return measured, url
    raise InputError(
        f"{name} could not be fetched:{reasons or ' no address in the settings'}\n"
        f"Correct the addresses or the checksum in the settings, or place the file by hand at {target}"
    )


def _copy(name: str, url: str, part: Path, wanted: dict) -> dict:
    path = Path(
        url2pathname(url.partition("://")[2].removeprefix("localhost")) if "://" in url else url
    ).expanduser()
    path = path / name if path.is_dir() else path
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise _MirrorError(f"no readable file {path}")
    with path.open("rb") as source:
        return _receive(name, source, part, 0, {"size": _size(path)}, wanted)


def _download(name: str, url: str, part: Path, wanted: dict) -> dict:
    failures, reached = 0, _size(part)
    while True:
        try:
            return _attempt(name, url, part, wanted)
        except (_Broken, OSError, HTTPException) as error:  # disk errors are InputErrors by now
            # A long download may break often: only the attempts that brought nothing new are counted.
            failures = 0 if _size(part) >= reached + CHUNK else failures + 1
            reached = max(reached, _size(part))
            if failures == ATTEMPTS:
                raise _MirrorError(f"{error} ({ATTEMPTS} attempts)") from error
            time.sleep(BACKOFF * 2**failures)


def _attempt(name: str, url: str, part: Path, wanted: dict) -> dict:
    known, offset = _read_json(Path(f"{part}.json")), 0
    # Without a validator and without a checksum nothing would notice that the rest belongs to another file.
    checkable = known.get("etag") or known.get("last_modified") or wanted.keys() & {"sha256", "md5"}
    if checkable and _size(part) <= (known.get("size") or -1):
        offset = min(
            _size(part), known["size"] - 1
        )  # a complete part asks for its last byte: no empty range
    response = _request(url, offset)
    if offset and response.status in (206, 416) and _identity(response, offset) != known:
        response.close()
        offset, response = 0, _request(url)
    with response:
        if response.status == 200:  # also the answer of a server that ignores Range
            offset = 0
        elif not (offset and response.status == 206):
            raise _MirrorError(f"HTTP {response.status} {response.reason}")
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _MirrorError("an HTML page instead of the file")
        return _receive(name, response, part, offset, _identity(response, offset), wanted)


def _request(url: str, offset: int = 0) -> HTTPResponse | HTTPError:
    headers = {"User-Agent": "mlrepro", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and offset:
            return error
        error.close()
        kind = _Broken if error.code in (408, 429) or error.code >= 500 else _MirrorError
        raise kind(f"HTTP {error.code} {error.reason}") from error
    except ValueError as error:
        raise _MirrorError(f"not a valid address: {error}") from error


def _identity(response: HTTPResponse | HTTPError, offset: int) -> dict:
    """What tells one file on a server from another; the size is None where the server does not say it."""
    size = response.length if response.status == 200 else None
    if content_range := re.fullmatch(
        rf"bytes {offset}-\d+/(\d+)", response.headers.get("Content-Range", "")
    ):
        size = int(content_range[1])
    return {
        "etag": response.headers.get("ETag"),
        "last_modified": response.headers.get("Last-Modified"),
        "size": size,
    }


def _receive(
    name: str, source: BinaryIO, part: Path, offset: int, identity: dict, wanted: dict
) -> dict:
    """Write `source` to `part` from `offset` on; return the size and sums of the whole, found to be the wanted ones."""
    chunks = _chunks(source)
    head = next(chunks, b"")  # looked at before a partial file is given up for it
    if not offset and head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise _MirrorError("an HTML page instead of the file")
    total = identity["size"] or wanted.get("size")
    if total != wanted.get("size", total):
        raise _MirrorError(f"size {total}, expected {wanted['size']}")
    _check_space(part, (total or 0) - _size(part))
    try:
        with (
            part.open("r+b" if offset else "wb") as file,
            tqdm(
                desc=name, total=total, initial=offset, unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            if not offset:  # the old content is gone by now, so the new identity never describes it
                Path(f"{part}.json").write_text(json.dumps(identity))
            file.seek(offset)
            file.truncate()
            for chunk in chain([head], chunks):
                file.write(chunk)
                file.flush()  # a kill loses nothing that has arrived
                bar.update(len(chunk))
            os.fsync(file.fileno())
    except OSError as error:  # of the disk: _chunks makes those of the network _Broken
        _check_space(part, (total or 0) - _size(part), error)
    if _size(part) < (total or 1):
        raise _Broken(f"the connection closed after {_size(part)} of {total or 'unknown'} bytes")
    measured, wrong = _measure(part, wanted)
    if wrong:
        part.unlink()
        Path(f"{part}.json").unlink()
        raise (_Broken if offset else _MirrorError)(
            wrong
        )  # the earlier part may be the bad one: start clean
    return measured


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := source.read1(
            CHUNK
        ):  # what has arrived: read() would lose it when the connection breaks
            yield chunk
    except (OSError, HTTPException) as error:
        raise _Broken(f"{error}") from error


def _measure(path: Path, wanted: dict) -> tuple[dict, str]:
    """The size and the sums of a file, and in words what is not as wanted."""
    measured = {"size": _size(path)}
    for kind in {"sha256", *wanted} - {"size"}:
        with path.open("rb") as file:
            measured[kind] = hashlib.file_digest(
                file, partial(hashlib.new, kind, usedforsecurity=False)
            ).hexdigest()
    wrong = [
        f"{key} {measured[key]}, expected {value}"
        for key, value in wanted.items()
        if measured[key] != value
    ]
    return measured, "; ".join(wrong)


def fetch_pictures(urls: Mapping[str, str], folder: Path, check: Callable) -> list[dict]:
    """Fetch pictures (path below `folder` -> address), many at a time; return {image, reason} of those that failed.

    A picture gets its name when it is whole and `check` of its path is not a text, which says what is wrong. It is kept
    from then on: after a break or a kill, the same call goes on, and tries the failed ones again. Raises InputError for a
    disk that is, or by the size of the first ones will be, too small.
    """
    missing = [name for name in urls if not _size(folder / name)]
    folder.mkdir(parents=True, exist_ok=True)
    failed, received, pool = [], 0, ThreadPoolExecutor(PARALLEL)
    try:
        with (
            _locked(folder),
            tqdm(desc="pictures", total=len(urls), initial=len(urls) - len(missing)) as bar,
        ):
            for start in range(
                0, len(missing), SLICE
            ):  # in slices: an interruption waits for what is queued
                names = missing[start : start + SLICE]
                fetched = pool.map(
                    lambda name: _fetch_picture(urls[name], folder / name, check), names
                )
                for name, reason in zip(names, fetched, strict=True):
                    failed += [{"image": name, "reason": reason}] if reason else []
                    received += _size(folder / name)
                    bar.update()
                tried = start + len(names)
                expected = received * (len(missing) - tried) // tried  # bytes
                bar.set_postfix_str(f"about {expected / 1e9:.1f} GB to come")
                _check_space(folder / "pictures", expected)
    except OSError as error:
        _check_space(folder / "pictures", 0, error)
    finally:
        pool.shutdown(cancel_futures=True)
    return failed


def _fetch_picture(url: str, target: Path, check: Callable) -> str | None:
    """Put the picture at `target`, or say why not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            with _request(url) as response:
                content = response.read()
        except (_Broken, OSError, HTTPException) as error:
            reason = f"{error} ({ATTEMPTS} attempts)"
            time.sleep(BACKOFF * 2**attempt)
            continue
        except _MirrorError as error:
            return str(error)
        part.write_bytes(content)
        if not isinstance(reason := check(part), str):
            return os.replace(part, target)
        part.unlink()
    return reason


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_space(path: Path, needed: int, error: OSError | None = None) -> None:
    """Raise InputError after an error of the disk, and before one when fewer bytes are free than needed."""
    free = shutil.disk_usage(path.parent).free
    if error or needed > free:
        raise InputError(
            f"{path}: {error or 'the disk is too small'}: {needed} more bytes are needed, {free} are free;"
            " what is there is kept, make room and run again"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on an existing file or folder; a killed process lets go of it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path}: waiting for another process", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def extract(archive: Path, folder: Path) -> None:
    """Extract a tar (also gz, xz) or zip into `folder`.

    A stamp `.extracted-<archive name>.json`, written last, makes the next call return at once; delete it to extract again. Of
    members with the same path the last one wins. Raises InputError before anything is written for a member that is no plain
    file or folder below `folder`, a truncated archive, a small disk; later, for damaged zip content.
    """
    if not archive.is_file() or not archive.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{archive}: not an archive file; {', '.join(_SUFFIXES)} can be extracted")
    stamp = folder / f".extracted-{archive.name}.json"
    identity = {"size": archive.stat().st_size, "mtime_ns": archive.stat().st_mtime_ns}
    zipped, needed = archive.name.lower().endswith(".zip"), 0
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if _read_json(stamp) == identity:
            return
        try:
            with (zipfile.ZipFile if zipped else tarfile.open)(archive) as opened:
                sizes = _plain_members(
                    archive, _zip_members(opened) if zipped else _tar_members(opened)
                )
                needed = sum(size - _size(folder / name) for name, size in sizes.items())
                _check_space(folder / archive.name, needed)
                stamp.unlink(missing_ok=True)
                members = tqdm(
                    opened.infolist() if zipped else opened,
                    desc=archive.name,
                    unit=" files",
                    disable=None,
                )
                opened.extraction_filter = getattr(
                    tarfile, "data_filter", None
                )  # of tars; not in Python before 3.11.4
                opened.extractall(folder, members)
        except _DAMAGED as error:
            raise InputError(
                f"{archive}: truncated or damaged ({error}); delete it and fetch it again"
            ) from error
        except OSError as error:
            _check_space(folder / archive.name, needed, error)
        stamp.write_text(json.dumps(identity))


def _plain_members(archive: Path, members: Iterator[tuple]) -> dict[str, int]:
    """{name: bytes}; InputError for what is no file or folder below the folder. `members`: (name, bytes, whether it is one)."""
    sizes = {}
    for name, size, plain in members:
        path = PurePosixPath(name)
        if (
            not plain
            or path.is_absolute()
            or ".." in path.parts
            or re.search(r"^[A-Za-z]:|[\\\0]", name)
            or path.name.startswith(".extracted-")
        ):
            raise InputError(
                f"{archive}: member {name!r} is not a plain file or folder below the folder (or it is encrypted); "
                "nothing was extracted, get the archive elsewhere"
            )
        sizes[name] = size
    return sizes


def _tar_members(opened: tarfile.TarFile) -> Iterator[tuple[str, int, bool]]:
    for info in opened:
        if info.size < 0:  # would send the reader back to an earlier header, for ever
            raise tarfile.ReadError(f"{info.name} has a negative size")
        yield info.name, info.size, info.isreg() or info.isdir()
    # tarfile takes a damaged header, or the end of the file, for the end of the archive: look for the real one.
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end-of-archive mark at byte {opened.offset}")
    while opened.fileobj.read(CHUNK):  # to the end: gzip and xz check their sums there
        pass


def _zip_members(opened: zipfile.ZipFile) -> Iterator[tuple[str, int, bool]]:
    for info in opened.infolist():
        regular = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        yield (
            info.orig_filename,
            info.file_size,
            regular and not info.flag_bits & 1,
        )  # bit 1: encrypted
