"""Requests to a web server: what its answers and its failures mean, and how long to wait for it."""

import base64
import re
import ssl
import string
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import cache, partial
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    InvalidURL,
)
from io import BufferedReader, RawIOBase
from typing import BinaryIO, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from mlrepro.addresses import with_variables
from mlrepro.settings.data import Limits

ATTEMPTS = 4  # requests in a row to one mirror that bring nothing new
BACKOFF = 0.5  # seconds, doubled with each failure in a row
TIMEOUT = 30.0  # seconds, of each wait on a socket
WINDOW = 60.0  # seconds of waiting, within each of which enough has to arrive
CHUNK = 1 << 20  # bytes
OVERHEAD = 1 << 21  # bytes that may arrive without any content: headers, and what ends chunks
REDIRECTS = 5  # in a row

SCHEMES = ("http", "https")
REDIRECTED = (301, 302, 303, 307, 308)
HTML = ("text/html", "application/xhtml+xml")
ASK_AGAIN = (408, 429)  # statuses below 500 after which a later request may succeed
WRONG_RANGE = 416  # the answer where a file has become shorter
LONGEST_REASON = 200  # characters of what a server says instead of the file

# How a file says that it is compressed, by the ends of its name.
COMPRESSED_NAMES = (".gz", ".tgz")
GZIP = ("gzip", "x-gzip")

LIMITS = Limits()


class MirrorError(Exception):
    """A mirror cannot give the file; the message says why."""


class BrokenError(MirrorError):
    """As above, but another attempt may succeed, after the seconds that the server asks for."""

    def __init__(self, message: str, wait: float = 0):
        super().__init__(message)
        self.wait = wait


# What a request raises while a server or the network fails for a time.
PASSING = (BrokenError, OSError, HTTPException)


# --- answers that have to arrive ------------------------------------------------------------------


class Pace:
    """How much of an answer has to arrive in which time, and how much may arrive for nothing.

    The headers are there within one window of waiting, and so are `bytes_a_minute` of content, time
    after time. Only the time of waiting for the server counts, not that of a slow disk.
    """

    def __init__(self, limits: Limits):
        self.needed = limits.bytes_a_minute * WINDOW / 60
        self.waited = 0.0  # seconds in this window
        self.content = 0  # bytes in this window
        self.overhead = 0  # bytes since the last content

    def wait(self, read: Callable[[float], int]) -> int:
        """Bytes that `read` received, which is given the most seconds to wait."""
        start = time.monotonic()
        try:
            received = read(min(TIMEOUT, max(WINDOW - self.waited, 0.001))) or 0
        except TimeoutError:
            self._count_wait(start)
            raise
        self._count_wait(start)

        self.overhead += received
        if self.overhead > OVERHEAD:
            raise BrokenError(f"more than {OVERHEAD} bytes of headers")
        return received

    def _count_wait(self, start: float) -> None:
        self.waited += time.monotonic() - start
        if self.waited >= WINDOW:
            raise BrokenError(
                f"too slow: {self.content} bytes in {WINDOW:g} s, "
                f"and `limits.bytes_a_minute` asks for {self.needed:g}"
            )

    def count_content(self, size: int) -> None:
        self.overhead = 0
        self.content += size
        if self.content >= self.needed:
            self.waited = 0.0
            self.content = 0


class PacedSocket(RawIOBase):
    """What arrives on a socket, at its pace."""

    def __init__(self, socket, pace: Pace):
        self._socket = socket
        self._raw = socket.makefile("rb", buffering=0)
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        def read(seconds: float) -> int:
            self._socket.settimeout(seconds)
            return self._raw.readinto(buffer)

        return self._pace.wait(read)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Answer(HTTPResponse):
    """A server's answer, whose headers and content arrive at a pace."""

    def __init__(self, socket, *arguments, pace: Pace, **options):
        super().__init__(socket, *arguments, **options)
        # Nothing has been read from it yet.
        self.fp.close()
        self.fp = BufferedReader(PacedSocket(socket, pace))
        self.pace = pace


class PacedRequest(Request):
    """A request whose answer is an Answer."""

    pace: Pace


def _paced(kind: type[HTTPConnection], request: PacedRequest) -> Callable[..., HTTPConnection]:
    """Makes connections of a kind whose answers keep the request's pace."""

    def connect(host: str, **options) -> HTTPConnection:
        connection = kind(host, **options)
        connection.response_class = partial(Answer, pace=request.pace)
        return connection

    return connect


class PacedHTTP(HTTPHandler):
    def http_open(self, request: PacedRequest) -> Answer:
        return self.do_open(_paced(HTTPConnection, request), request)


class PacedHTTPS(HTTPSHandler):
    def https_open(self, request: PacedRequest) -> Answer:
        return self.do_open(_paced(HTTPSConnection, request), request, context=_certificates())


@cache
def _certificates() -> ssl.SSLContext:
    # Loading them takes longer than a request.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _opener() -> OpenerDirector:
    """Opens http and https alone, and gives every answer as it is, whatever its status."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), PacedHTTP(), PacedHTTPS(context=_certificates())):
        opener.add_handler(handler)
    return opener


# --- requests -------------------------------------------------------------------------------------


def request(url: str, offset: int = 0, limits: Limits = LIMITS) -> Answer:
    """Ask for a file, from byte `offset` on. Returns the answer, to be read and closed.

    A server may answer with the whole file (200) instead of the rest (206), or that the range is
    wrong (416, also returned). Every other status is a MirrorError. Redirects are followed, to http
    and https alone, and never from https to http. No message has the address in it.
    """
    pace = Pace(limits)
    place = _place(with_variables(url))
    first = place
    for _ in range(REDIRECTS + 1):
        # Whoever the first server sends us to is not told its password.
        user = first.user if place.origin == first.origin else None
        answer = _ask(place.url, place.user or user, offset, pace)
        if answer.status not in REDIRECTED:
            return _accepted(answer, offset, limits)
        place = _next_place(place, answer)
    raise MirrorError(f"more than {REDIRECTS} redirects")


class Place(NamedTuple):
    """Where a file is: an address without user, its user and password, and its server."""

    url: str
    user: str | None
    origin: tuple


def _place(url: str) -> Place:
    """The parts of an address. Raises MirrorError, which does not quote it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MirrorError("not a valid address") from None
    if parts.scheme not in SCHEMES:
        raise MirrorError(f"{parts.scheme}:// is not supported, only http:// and https://")
    if not parts.hostname or not url.isprintable():
        raise MirrorError("not a valid address")

    _, _, host = parts.netloc.rpartition("@")
    user = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Place(_quoted(parts, host), user, (parts.scheme, parts.hostname, port))


def _quoted(parts: SplitResult, host: str) -> str:
    """An address in ASCII, as a request needs it."""
    try:
        host = host.encode("ascii").decode()
    except UnicodeError:
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise MirrorError("not a valid address") from None
    path = quote(parts.path, safe=string.punctuation)
    query = quote(parts.query, safe=string.punctuation)
    return urlunsplit((parts.scheme, host, path, query, ""))


def _ask(url: str, user: str | None, offset: int, pace: Pace) -> Answer:
    # identity: a file that is compressed on its way could be neither resumed nor measured.
    headers = {"User-Agent": "mlrepro", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    if user is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"

    paced = PacedRequest(url, headers=headers)
    paced.pace = pace
    try:
        return _opener().open(paced, timeout=TIMEOUT)
    except (InvalidURL, ValueError):
        raise MirrorError("not a valid address") from None


def _next_place(place: Place, answer: Answer) -> Place:
    """Where a redirect leads to. Raises MirrorError where it may not lead there."""
    target = answer.headers.get("Location")
    # Not read to its end: nobody says how long it is.
    answer.close()
    if not target:
        raise MirrorError(f"HTTP {answer.status} without an address to go on to")

    try:
        target = urljoin(place.url, target.strip().replace(" ", "%20"))
    except ValueError:
        raise MirrorError("a redirect to what is not a valid address") from None
    try:
        following = _place(target)
    except MirrorError as error:
        raise MirrorError(f"a redirect: {error}") from None
    if place.origin[0] == "https" and following.origin[0] == "http":
        raise MirrorError("a redirect from https:// to http:// is not followed")
    return following


def _accepted(answer: Answer, offset: int, limits: Limits) -> Answer:
    """The answer, if its status is one that brings the file."""
    status = answer.status
    if status in (200, 206) or (status == WRONG_RANGE and offset):
        return answer
    answer.close()

    said = "".join(letter for letter in answer.reason if letter.isprintable())
    reason = f"HTTP {status} {shortened(said)}".rstrip()
    # A server that is overloaded or restarts says so; any other refusal will stay one.
    if status not in ASK_AGAIN and status < 500:
        raise MirrorError(reason)

    wait = _seconds_to_wait(answer.headers.get("Retry-After", ""))
    if wait > limits.wait_seconds:
        raise MirrorError(
            f"{reason}, and asks to wait {wait:.0f} s, "
            f"more than `limits.wait_seconds`, {limits.wait_seconds:g}"
        )
    raise BrokenError(reason, wait)


def shortened(reason: str) -> str:
    """What may be a server's words, as far as a line of output holds them."""
    if len(reason) <= LONGEST_REASON:
        return reason
    return f"{reason[:LONGEST_REASON]} ..."


def _seconds_to_wait(retry_after: str) -> float:
    """What a header Retry-After asks for: seconds, or a date."""
    retry_after = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return max(0.0, moment - time.time())


# --- what an answer means -------------------------------------------------------------------------


def identity(response: HTTPResponse, offset: int) -> dict:
    """What tells one file on a server from another: etag, last_modified and the size of the whole.

    Each is None where the server does not say it.
    """
    # Only status 200 is the whole file, so that its length is the file's.
    size = response.length if response.status == 200 else None
    content_range = response.headers.get("Content-Range", "")
    # A number of more digits is no size of a file.
    if stated := re.fullmatch(rf"bytes {offset}-[0-9]{{1,18}}/([0-9]{{1,18}})", content_range):
        size = int(stated[1])
    return {
        "etag": response.headers.get("ETag"),
        "last_modified": response.headers.get("Last-Modified"),
        "size": size,
    }


def starts_at(response: HTTPResponse, offset: int, name: str) -> int:
    """The byte that an answer starts at, which is 0 where a server ignores the range asked for.

    Raises MirrorError for an answer that is not the file of that name.
    """
    if response.status == 200:
        offset = 0
    elif not (offset and response.status == 206):
        raise MirrorError(f"HTTP {response.status} {response.reason}")
    # A login or an error page that is sent with status 200, as file hosters do.
    if response.headers.get_content_type() in HTML:
        raise MirrorError("an HTML page instead of the file")
    check_encoding(response, name)
    return offset


def check_encoding(response: HTTPResponse, name: str) -> None:
    """Raise MirrorError where the bytes that come are not the file's, but compressed ones."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    # Of a file that is compressed itself, some servers say so in this way.
    is_the_files_own = encoding in GZIP and name.lower().endswith(COMPRESSED_NAMES)
    if encoding not in ("", "identity") and not is_the_files_own:
        shown = "".join(letter for letter in encoding if letter.isprintable())
        raise MirrorError(
            f"the file compressed as {shown[:LONGEST_REASON]!r}, which nobody asked for"
        )


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """What has arrived, piece by piece. Raises BrokenError where the connection breaks.

    A server has to keep its pace; a local file has none.
    """
    pace = getattr(source, "pace", None)
    try:
        # Not read(): it waits for a whole chunk, and loses the start of one when it breaks off.
        while chunk := source.read1(CHUNK):
            if pace:
                pace.count_content(len(chunk))
            yield chunk
    except (OSError, HTTPException, ValueError) as error:
        raise BrokenError(f"{error}") from error


def pause(failures: int, asked: float = 0) -> None:
    """Wait before the next request, longer with each failure in a row and as the server asks."""
    sleep(max(asked, BACKOFF * 2**failures))


def sleep(seconds: float) -> None:
    time.sleep(seconds)
