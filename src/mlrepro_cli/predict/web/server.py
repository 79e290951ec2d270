"""The server of the page: Python's own, on this machine alone unless a person says otherwise.

It gives four fixed resources and answers to posted pictures; no name in a request becomes a path.
"""

import json
import math
import signal
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from torch import nn

from mlrepro.errors import InputError
from mlrepro_cli.predict.answer import READERS, predict
from mlrepro_cli.predict.model import load_model
from mlrepro_cli.predict.serving import posted_picture

# Of a picture's file.
MOST_BYTES = 25_000_000
# So much of a larger one is read and thrown away: a browser hears the answer only after sending.
MOST_DISCARDED = 500_000_000
PIECE = 1 << 20
# Connections at once, and seconds that one may keep silent.
MOST_CONNECTIONS = 64
PATIENCE = 30

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"
FILES = {
    "/": ("page.html", HTML),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
# A browser is to load nothing from elsewhere, and to show the page in no other one.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: the status and the words."""

    def __init__(self, status: HTTPStatus, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Labeller:
    """The model, for all requests together."""

    def __init__(self, folder: Path):
        self.config, self._network = load_model(folder)
        self.name = folder.resolve().name
        self._readers = ThreadPoolExecutor(READERS)
        # One picture at a time goes through the network, which uses all cores itself.
        self._turn = threading.Lock()

    def about(self) -> dict:
        return {
            "name": self.name,
            "classes": self.config["classes"],
            "thresholds": [self._score(value) for value in self.config["thresholds"]],
            "most_bytes": MOST_BYTES,
        }

    def _score(self, threshold: float | None) -> float | None:
        """The probability at which a class is marked; none: it never is."""
        if threshold is None:
            return None
        return sigmoid(self.config["logit_scale"] * threshold)

    def label(self, content: bytes) -> dict:
        """{labels, scores} or {error} of a picture's file."""
        network: nn.Module = self._network

        def picture(_: str):
            return posted_picture(content)

        with self._turn:
            [answer] = predict(
                self.config, network, ["the picture"], picture, readers=self._readers
            )
        answer.pop("image")
        return answer


def sigmoid(logit: float) -> float:
    # Beyond, `exp` overflows.
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))


class Handler(BaseHTTPRequestHandler):
    """One request. `labeller` and `names` belong to the server."""

    server: "PageServer"
    protocol_version = "HTTP/1.1"
    server_version = "mlrepro"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        try:
            self._check_sender()
            path = urlsplit(self.path).path
            if path == "/about":
                self._send_json(HTTPStatus.OK, self.server.labeller.about())
            elif path in FILES:
                name, kind = FILES[path]
                self._send(HTTPStatus.OK, resource(name), kind)
            else:
                raise Refused(HTTPStatus.NOT_FOUND, "there is nothing of this name")
        except Refused as refused:
            self._refuse(refused)

    def do_POST(self) -> None:
        try:
            self._check_sender()
            if urlsplit(self.path).path != "/label":
                raise Refused(HTTPStatus.NOT_FOUND, "pictures are posted to /label")
            answer = self.server.labeller.label(self._body())
            bad = "error" in answer
            self._send_json(HTTPStatus.UNPROCESSABLE_ENTITY if bad else HTTPStatus.OK, answer)
        except Refused as refused:
            self._refuse(refused)

    def _check_sender(self) -> None:
        """Refuses what other pages send in a browser's name, also by a name that leads here."""
        host = self.headers.get("Host", "")
        if self.server.names and host not in self.server.names:
            raise Refused(HTTPStatus.FORBIDDEN, f"call it http://{self.server.address}/")
        origin = self.headers.get("Origin")
        if origin and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, "this page answers to itself alone")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say the length of the file")
        if int(length) > MOST_BYTES:
            self._discard(int(length))
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{int(length):,} bytes, and {MOST_BYTES:,} are the most; make the picture smaller",
            )
        content = self.rfile.read(int(length))
        if len(content) < int(length):
            raise Refused(HTTPStatus.BAD_REQUEST, "the file ended too early; send it again")
        return content

    def _discard(self, length: int) -> None:
        left = min(length, MOST_DISCARDED)
        while left > 0:
            piece = self.rfile.read(min(PIECE, left))
            if not piece:
                return
            left -= len(piece)

    def _refuse(self, refused: Refused) -> None:
        # What else the sender may send on this connection was not read.
        self.close_connection = True
        self._send_json(refused.status, {"error": refused.reason})

    def _send_json(self, status: HTTPStatus, value: dict) -> None:
        self._send(status, json.dumps(value, ensure_ascii=False).encode(), JSON)

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        """Nothing: what others send is no text for this terminal."""


class PageServer(ThreadingHTTPServer):
    """names: those by which it may be called; none: any, where it listens beyond this machine."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, host: str, port: int, labeller: Labeller):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)
        self.labeller = labeller
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)

        shown = f"[{host}]" if ":" in host else host
        port = self.server_address[1]
        self.address = f"{shown}:{port}"
        self.names = ()
        if is_loopback(host):
            self.names = (self.address, f"localhost:{port}")

    def process_request(self, request, client_address) -> None:
        # Others wait in the system's queue.
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_) -> None:
        """Nothing: a browser that goes away is no error."""


def resource(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def serve(model: str, host: str, port: int) -> int:
    """Serves the page until Ctrl-C. Raises InputError where it cannot listen there."""
    # Pillow warns of pictures of 12,000 px, and refuses those of more than twice its limit.
    warnings.filterwarnings("ignore", "Image size")
    labeller = Labeller(Path(model))
    try:
        server = PageServer(host, port, labeller)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--host {host} --port {port}: {error}; name another port, or 0 for any that is free"
        ) from None

    if not is_loopback(host):
        print(
            f"warning: everybody who reaches {host} can use it: there is no password and no "
            "encryption"
        )
    print(f"http://{server.address}/ (Ctrl-C ends it)", flush=True)
    # In the background of a script SIGINT is ignored, unless a program says otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended")
    return 0
