"""Requests to a web server: what its answers and its failures mean, and how long to wait for it."""

import re
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ATTEMPTS = 4  # requests in a row to one mirror that bring nothing new
BACKOFF = 0.5  # seconds, doubled with each failure in a row
TIMEOUT = 30.0  # seconds, of each wait on a socket
CHUNK = 1 << 20  # bytes

HTML = ("text/html", "application/xhtml+xml")
ASK_AGAIN = (408, 429)  # statuses below 500 after which a later request may succeed
WRONG_RANGE = 416  # the answer where a file has become shorter


class MirrorError(Exception):
    """A mirror cannot give the file; the message says why."""


class BrokenError(MirrorError):
    """As above, but another attempt may succeed."""


# What a request raises while a server or the network fails for a time.
PASSING = (BrokenError, OSError, HTTPException)


def request(url: str, offset: int = 0) -> HTTPResponse | HTTPError:
    """Ask for a file, from byte `offset` on. Returns the answer, to be read and closed.

    A server may answer with the whole file (200) instead of the rest (206), or that the range is
    wrong (416, also returned). Every other status is a MirrorError.
    """
    # identity: a file that is compressed on its way could be neither resumed nor measured.
    headers = {"User-Agent": "mlrepro", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == WRONG_RANGE and offset:
            return error
        error.close()
        # A server that is overloaded or restarts says so; any other refusal will stay one.
        may_pass = error.code in ASK_AGAIN or error.code >= 500
        kind = BrokenError if may_pass else MirrorError
        raise kind(f"HTTP {error.code} {error.reason}") from error
    except ValueError as error:
        raise MirrorError(f"not a valid address: {error}") from error


def identity(response: HTTPResponse | HTTPError, offset: int) -> dict:
    """What tells one file on a server from another: etag, last_modified and the size of the whole.

    Each is None where the server does not say it.
    """
    # Only status 200 is the whole file, so that its length is the file's.
    size = response.length if response.status == 200 else None
    content_range = response.headers.get("Content-Range", "")
    if said := re.fullmatch(rf"bytes {offset}-\d+/(\d+)", content_range):
        size = int(said[1])
    return {
        "etag": response.headers.get("ETag"),
        "last_modified": response.headers.get("Last-Modified"),
        "size": size,
    }


def starts_at(response: HTTPResponse | HTTPError, offset: int) -> int:
    """The byte that an answer starts at, which is 0 where a server ignores the range asked for.

    Raises MirrorError for an answer that is not the file.
    """
    if response.status == 200:
        offset = 0
    elif not (offset and response.status == 206):
        raise MirrorError(f"HTTP {response.status} {response.reason}")
    # A login or an error page that is sent with status 200, as file hosters do.
    if response.headers.get_content_type() in HTML:
        raise MirrorError("an HTML page instead of the file")
    return offset


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """What has arrived, piece by piece. Raises BrokenError where the connection breaks."""
    try:
        # Not read(): it waits for a whole chunk, and loses the start of one when it breaks off.
        while chunk := source.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise BrokenError(f"{error}") from error


def pause(failures: int) -> None:
    """Wait before the next request, longer with each failure in a row."""
    time.sleep(BACKOFF * 2**failures)
