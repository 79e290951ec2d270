"""Is a file what its name says? Asked where no checksum says what was expected."""

import gzip
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

HEAD = 1 << 12  # bytes that are looked at
SMALL_JSON = 1 << 16  # bytes of a file that is looked at as a whole

BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
HTML_START = re.compile(r"<(!doctype html|html|head|body|title|meta|script)\b", re.IGNORECASE)

# How servers word in plain text why there is no file; such a text is of so many bytes at most.
MESSAGE = re.compile(
    r"(http\S* |error\W*|status\W*)*[45]\d\d\b"
    r"|.*\b(not found|no such|denied|forbidden|unauthori[sz]ed|unavailable|not available"
    r"|too many requests|quota|rate limit|bad gateway|time[d -]*out|server error"
    r"|maintenance|log in|sign in)\b",
    re.IGNORECASE,
)
LONGEST_MESSAGE = 1 << 11

# Names of files that are markup.
MARKUP = (".html", ".htm", ".xhtml", ".xml", ".svg")
TABLES = (".csv", ".tsv")
TEXTS = (".txt",)
DELIMITER = re.compile("[,;\t|]")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
ZIPS = (".zip", ".npz")

# How files begin, by the end of their name.
SIGNATURES = {
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".xz": b"\xfd7zXZ\0",
    ".bz2": b"BZh",
    ".npy": b"\x93NUMPY",
    ".parquet": b"PAR1",
    ".jpg": b"\xff\xd8",
    ".png": b"\x89PNG",
}

DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError)


def page_in(head: bytes, name: str) -> str | None:
    """What kind of page, sent in place of the file `name`, begins like this; None for no page.

    A server may say that a page is anything, so that only its beginning tells.
    """
    text = _text(head)
    name = name.lower()
    if name.endswith(MARKUP):
        return None
    if HTML_START.match(text):
        return "an HTML page"
    if text.startswith("<?xml"):
        return "an XML page"
    if name.endswith(TABLES) and text.startswith(("<", "{", "[")):
        return "an XML page" if text.startswith("<") else "a JSON text"
    return None


def problem_of_content(path: Path, name: str) -> str | None:
    """Why a whole file cannot be the one that its name says; None where it may be."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    page = page_in(head, name)
    if page:
        return f"{page} instead of the file"

    name = name.lower()
    for endings, check in CHECKS.items():
        if name.endswith(endings):
            kind = endings[0].removeprefix(".")
            return None if check(path, head) else f"no {kind} file, which its name says that it is"
    return _problem_of_beginning(path, head, name)


def _problem_of_beginning(path: Path, head: bytes, name: str) -> str | None:
    for ending, signature in SIGNATURES.items():
        if name.endswith(ending) and not head.startswith(signature):
            return f"no {ending.removeprefix('.')} file, which its name says that it is"

    # What a compressed table or list has in it.
    if name.endswith(".gz"):
        try:
            inner = _decompressed(path, gzip.open)
        except DAMAGED:
            return "no gz file, which its name says that it is"
        inner_name = name.removesuffix(".gz")
        page = page_in(inner, inner_name)
        is_compressed_again = inner.startswith(SIGNATURES[".gz"])
        if page or is_compressed_again:
            return f"{page or 'a file that is compressed twice'} instead of the file"
        if inner_name.endswith(TABLES) and not _has_fields(inner):
            return f"no {inner_name.rpartition('.')[2]} file in it, which its name says that it is"
    return None


def _text(head: bytes) -> str:
    """The beginning of a text, without its byte order mark and white space."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, errors="replace").lstrip()
    return head.decode("latin-1").lstrip()


def _is_zip(path: Path, head: bytes) -> bool:
    return zipfile.is_zipfile(path)


def _is_tar(path: Path, head: bytes) -> bool:
    """Whether it begins with the header of a member, or with the mark of an archive's end."""
    openers = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open, b"BZh": _open_bz2}
    try:
        for signature, opener in openers.items():
            if head.startswith(signature):
                head = _decompressed(path, opener)
        block = head[: tarfile.BLOCKSIZE]
        if block == bytes(tarfile.BLOCKSIZE):
            return True
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except DAMAGED:
        return False
    return True


def _open_bz2(path: Path):
    import bz2

    return bz2.open(path)


def _decompressed(path: Path, opener: Callable) -> bytes:
    with opener(path) as file:
        return file.read(HEAD)


def _is_table(path: Path, head: bytes) -> bool:
    return _has_fields(head)


def _has_fields(head: bytes) -> bool:
    """Whether a table may begin so, of two lines or more: a server's message is one sentence."""
    lines = [line for line in _text(head).splitlines() if line.strip()]
    with_fields = [bool(DELIMITER.search(line)) for line in lines[:2]]
    return b"\0" not in head and with_fields == [True, True]


def _is_text(path: Path, head: bytes) -> bool:
    """Whether it may be a list: no short message of a server."""
    if path.stat().st_size > LONGEST_MESSAGE:
        return True
    return not MESSAGE.match(_text(head).strip())


def _is_json(path: Path, head: bytes) -> bool:
    """Whether it may be a data set's: no error that a server words in JSON."""
    if path.stat().st_size > SMALL_JSON:
        return _text(head)[:1] in ("{", "[")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return not (isinstance(content, dict) and content.keys() & {"error", "errors"})


# The ends of names -> whether a file of such a name is one, by its path and its beginning.
CHECKS = {
    ZIPS: _is_zip,
    TARS: _is_tar,
    TABLES: _is_table,
    TEXTS: _is_text,
    (".json",): _is_json,
}
