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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
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
PARALLEL = 32  # pictures fetched at a time
SLICE = 2048  # pictures queued at a time, which an interruption waits for

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
            NotImplementedError)  # the last one: a zip with a compression that Python does not know
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")


@dataclass(frozen=True)
class Fetched:
    """One verified archive: size in bytes, sha256 in hex, and the mirror it came from (or "present")."""

    name: str
    size: int
    sha256: str
    source: str


class _MirrorError(Exception):
    """This mirror cannot give the file; the message says why."""


class _Broken(_MirrorError):
    """As above, but another attempt may succeed."""


def fetch(name: str, urls: Sequence[str], target: Path, *, sha256: str | None = None, md5: str | None = None,
          size: int | None = None, timeout: float = 30.0) -> Fetched:
    """Put the verified archive `name` at `target` and describe it.

    `urls` are tried in order: http, https or file addresses, paths of a file or of a folder that holds `name`. A file
    at `target` is checked and kept, whoever placed it. A download goes on from `<target>.part` after a break or a
    kill; `timeout` (seconds) is for each wait on a socket. Without a checksum a warning names the sha256 found.

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
                measured, source = _fetch_from_mirrors(name, urls, target, wanted, timeout)
    if not measured:
        with target.open("rb") as file:
            measured, wrong = _measure(_chunks(file), wanted)
        if wrong:
            raise InputError(f"{target}: not the expected {name}: {wrong}. Delete it or move it away, then run again; "
                             "if the file is the right one, correct the settings")
    if not wanted.keys() & {"sha256", "md5"}:
        print(f"warning: {name} has no checksum in the settings and was accepted unchecked; "
              f"add sha256: {measured['sha256']}", file=sys.stderr)
    return Fetched(name, measured["size"], measured["sha256"], source)


def _fetch_from_mirrors(name: str, urls: Sequence[str], target: Path, wanted: dict, timeout: float) -> tuple[dict, str]:
    part, reasons = target.with_name(target.name + ".part"), ""
    for url in urls:
        scheme = url.partition("://")[0].lower() if "://" in url else "file"
        try:
            if scheme == "file":
                measured = _copy(name, url, part, wanted)
            elif scheme in ("http", "https"):
                measured = _download(name, url, part, wanted, timeout)
            else:
                raise _MirrorError(f"{scheme}:// is not supported")
        except _MirrorError as error:
            print(f"{name}: {url}: {error}", file=sys.stderr)
            reasons += f"\n  {url}: {error}"
            continue
        os.replace(part, target)
        Path(f"{part}.json").unlink(missing_ok=True)
        return measured, url
    raise InputError(f"{name} could not be fetched:{reasons or ' no address in the settings'}\n"
                     f"Correct the addresses or the checksum in the settings, or place the file by hand at {target}")


def _copy(name: str, url: str, part: Path, wanted: dict) -> dict:
    path = Path(url2pathname(url.partition("://")[2].removeprefix("localhost")) if "://" in url else url).expanduser()
    path = path / name if path.is_dir() else path
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise _MirrorError(f"no readable file {path}")
    with path.open("rb") as source:
        return _receive(name, source, part, 0, {"size": _size(path)}, wanted)


def _download(name: str, url: str, part: Path, wanted: dict, timeout: float) -> dict:
    failures, reached = 0, _size(part)
    while True:
        try:
            return _attempt(name, url, part, wanted, timeout)
        except (_Broken, OSError, HTTPException) as error:  # disk errors are InputErrors by now
            # A long download may break often: only the attempts that brought nothing new are counted.
            failures = 0 if _size(part) >= reached + CHUNK else failures + 1
            reached = max(reached, _size(part))
            if failures == ATTEMPTS:
                raise _MirrorError(f"{error} ({ATTEMPTS} attempts)") from error
            time.sleep(BACKOFF * 2**failures)


def _attempt(name: str, url: str, part: Path, wanted: dict, timeout: float) -> dict:
    known, offset = _read_json(Path(f"{part}.json")), 0
    # Without a validator and without a checksum nothing would notice that the rest belongs to another file.
    checkable = known.get("etag") or known.get("last_modified") or wanted.keys() & {"sha256", "md5"}
    if checkable and _size(part) <= (known.get("size") or -1):
        offset = min(_size(part), known["size"] - 1)  # a complete part asks for its last byte: no empty range
    response = _request(url, offset, timeout)
    if offset and response.status in (206, 416) and _identity(response, offset) != known:
        response.close()
        offset, response = 0, _request(url, 0, timeout)
    with response:
        if response.status == 200:  # also the answer of a server that ignores Range
            offset = 0
        elif not (offset and response.status == 206):
            raise _MirrorError(f"HTTP {response.status} {response.reason}")
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _MirrorError("an HTML page instead of the file")
        return _receive(name, response, part, offset, _identity(response, offset), wanted)


def _request(url: str, offset: int, timeout: float) -> HTTPResponse | HTTPError:
    headers = {"User-Agent": "mlrepro", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=timeout)
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
    if content_range := re.fullmatch(rf"bytes {offset}-\d+/(\d+)", response.headers.get("Content-Range", "")):
        size = int(content_range[1])
    return {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified"), "size": size}


def _receive(name: str, source: BinaryIO, part: Path, offset: int, identity: dict, wanted: dict) -> dict:
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
        with (part.open("r+b" if offset else "w+b") as file,
              tqdm(desc=name, total=total, initial=offset, unit="B", unit_scale=True, disable=None) as bar):
            if not offset:  # the old content is gone by now, so the new identity never describes it
                Path(f"{part}.json").write_text(json.dumps(identity))
            file.truncate(offset)
            measured, wrong = _measure(chain(_chunks(file), _written(chain([head], chunks), file, bar)), wanted)
            os.fsync(file.fileno())
    except OSError as error:  # of the disk: _chunks makes those of the network _Broken
        _check_space(part, (total or 0) - _size(part), error)
    if measured["size"] < (total or 1):
        raise _Broken(f"the connection closed after {measured['size']} of {total or 'unknown'} bytes")
    if wrong:
        part.unlink()
        Path(f"{part}.json").unlink()
        raise (_Broken if offset else _MirrorError)(wrong)  # the earlier part may be the bad one: start clean
    return measured


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := source.read1(CHUNK):  # what has arrived: read() would lose it when the connection breaks
            yield chunk
    except (OSError, HTTPException) as error:
        raise _Broken(f"{error}") from error


def _written(chunks: Iterable[bytes], file: BinaryIO, bar: tqdm) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        file.flush()  # a kill loses nothing that has arrived
        bar.update(len(chunk))
        yield chunk


def _measure(chunks: Iterable[bytes], wanted: dict) -> tuple[dict, str]:
    """The size and the sums of the chunks, and in words what is not as wanted."""
    size, sums = 0, {kind: hashlib.new(kind, usedforsecurity=False) for kind in {"sha256", *wanted} - {"size"}}
    for chunk in chunks:
        size += len(chunk)
        for digest in sums.values():
            digest.update(chunk)
    measured = {"size": size} | {kind: digest.hexdigest() for kind, digest in sums.items()}
    wrong = [f"{key} {measured[key]}, expected {value}" for key, value in wanted.items() if measured[key] != value]
    return measured, "; ".join(wrong)


def fetch_pictures(urls: Mapping[str, str], folder: Path, check: Callable, timeout: float = 30.0) -> list[dict]:
    """Fetch pictures (path below `folder` -> address), many at a time; return {image, reason} of those that failed.

    A picture gets its name when it is whole and `check` of its path is not a text, which says what is wrong. It is kept
    from then on: after a break or a kill, the same call goes on, and tries the failed ones again. Raises InputError for a
    disk that is, or by the size of the first ones will be, too small.
    """
    missing = [name for name in urls if not _size(folder / name)]
    folder.mkdir(parents=True, exist_ok=True)
    failed, received, begun, pool = [], 0, time.monotonic(), ThreadPoolExecutor(PARALLEL)
    try:
        with _locked(folder), tqdm(desc="pictures", total=len(urls), initial=len(urls) - len(missing), disable=None) as bar:
            for start in range(0, len(missing), SLICE):  # in slices: an interruption waits for what is queued
                names = missing[start:start + SLICE]
                fetched = pool.map(lambda name: _fetch_picture(urls[name], folder / name, check, timeout), names)
                for name, reason in zip(names, fetched, strict=True):
                    failed += [{"image": name, "reason": reason}] if reason else []
                    received += _size(folder / name)
                    bar.update()
                left = len(missing) - start - len(names)
                ratio = left / (len(missing) - left)
                show = print if bar.disable else bar.set_postfix_str
                show(f"{len(urls) - left} of {len(urls)} pictures tried, about {received * ratio / 1e9:.1f} GB and "
                     f"{(time.monotonic() - begun) * ratio / 3600:.1f} h to come")
                _check_space(folder / "pictures", int(received * ratio))
    except OSError as error:
        _check_space(folder / "pictures", 0, error)
    finally:
        pool.shutdown(cancel_futures=True)
    return failed


def _fetch_picture(url: str, target: Path, check: Callable, timeout: float) -> str | None:
    """Put the picture at `target`, or say why not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            with _request(url, 0, timeout) as response:
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
        raise InputError(f"{path}: {error or 'the disk is too small'}: {needed} more bytes are needed, {free} are free;"
                         " what is there is kept, make room and run again") from error


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


def extract(archive: Path, folder: Path) -> int:
    """Extract a tar (also gz, xz) or zip into `folder`, without modes and times; return its number of files.

    A stamp `.extracted-<archive name>.json`, written last, makes the next call return at once; delete it to extract
    again. Of members with the same path the last one wins. Raises InputError before anything is written for a member
    that is no plain file or folder below `folder`, a truncated archive, a small disk; later, for damaged zip content.
    """
    if not archive.is_file() or not archive.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{archive}: not an archive file; {', '.join(_SUFFIXES)} can be extracted")
    stamp = folder / f".extracted-{archive.name}.json"
    identity = {"size": archive.stat().st_size, "mtime_ns": archive.stat().st_mtime_ns}
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if identity.items() <= _read_json(stamp).items():
            return _read_json(stamp)["files"]
        try:
            with (zipfile.ZipFile if archive.name.lower().endswith(".zip") else tarfile.open)(archive) as opened:
                members = _zip_members(opened) if isinstance(opened, zipfile.ZipFile) else _tar_members(opened)
                files, folders = _plain_paths(archive, members)
                stamp.unlink(missing_ok=True)
                _write_members(archive, folder, files, folders)
        except _DAMAGED as error:
            raise InputError(f"{archive}: truncated or damaged ({error}); delete it and fetch it again") from error
        stamp.write_text(json.dumps(identity | {"files": len(files)}))
    return len(files)


def _tar_members(opened: tarfile.TarFile) -> Iterator[tuple]:
    """Yield (name, kind, bytes, open) of each member."""
    for info in opened:
        if info.size < 0:  # would send the reader back to an earlier header, for ever
            raise tarfile.ReadError(f"{info.name} has a negative size")
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a link or a special file"
        yield info.name, kind, info.size, partial(opened.extractfile, info)
    # tarfile takes a damaged header, or the end of the file, for the end of the archive: look for the real one.
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end-of-archive mark at byte {opened.offset}")
    while opened.fileobj.read(CHUNK):  # to the end: gzip and xz check their sums there
        pass


def _zip_members(opened: zipfile.ZipFile) -> Iterator[tuple]:
    for info in opened.infolist():
        regular = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR) and not info.flag_bits & 1
        kind = "folder" if info.is_dir() else "file" if regular else "a link, a special file or encrypted"
        yield info.orig_filename, kind, info.file_size, partial(opened.open, info)


def _plain_paths(archive: Path, members: Iterator[tuple]) -> tuple[dict, set]:
    """{path: (bytes, open)} of the files and the set of folders, all relative; InputError for anything else."""
    files, folders = {}, {PurePosixPath(".")}
    for name, kind, size, opener in members:
        path = PurePosixPath(name)
        if (kind not in ("file", "folder") or path.is_absolute() or ".." in path.parts
                or re.search(r"^[A-Za-z]:|[\\\0]", name) or path.name.startswith((".extracted-", ".extracting-"))):
            raise InputError(f"{archive}: member {name!r} ({kind}) is not a plain path below the folder; "
                             "nothing was extracted, get the archive elsewhere")
        folders.update(path.parents if kind == "file" else (path, *path.parents))
        if kind == "file":
            files[path] = size, opener
    if clash := files.keys() & folders:
        raise InputError(f"{archive}: member {str(min(clash))!r} is both a file and a folder; nothing was extracted")
    return files, folders


def _write_members(archive: Path, folder: Path, files: dict, folders: set) -> None:
    needed = sum(size - _size(folder / path) for path, (size, _) in files.items())
    _check_space(folder / archive.name, needed)
    try:
        for path in sorted(folders):
            (folder / path).mkdir(exist_ok=True)
        for path, (_, opener) in tqdm(files.items(), desc=archive.name, unit=" files", disable=None):
            temporary = folder / path.with_name(f".extracting-{archive.name}")
            with opener() as source, temporary.open("wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
            os.replace(temporary, folder / path)
    except OSError as error:
        _check_space(folder / archive.name, needed, error)
