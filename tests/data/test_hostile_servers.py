"""Downloads from real servers on loopback that hang, lie, redirect and never end."""

import base64
import datetime
import gzip
import hashlib
import io
import json
import os
import ssl
import tarfile
import time
import zipfile
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
from conftest import serving

from mlrepro.data.download import download
from mlrepro.data.fetching import web
from mlrepro.data.fetching.mirrors import fetch
from mlrepro.data.fetching.pictures import fetch_pictures
from mlrepro.errors import InputError
from mlrepro.settings.data import CsvData, Limits

SECRET = "s3cr3tW0rd"
TABLE = b"image,labels,split\na.jpg,cat,train\n"
SHA256 = hashlib.sha256(TABLE).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Calls `server.answers[path]`, or else sends TABLE."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        try:
            self.server.answers.get(path, send_table)(self)
        except OSError:  # the client has had enough
            pass
        self.close_connection = True


def send_table(handler):
    send(handler, TABLE)


def send(handler, body, status=200, **headers):
    handler.send_response(status)
    headers = {"Content_Length": len(body)} | headers
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    with serving(Handler, monkeypatch) as server:
        server.answers = {}
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server


@pytest.fixture
def waits(monkeypatch):
    """Seconds that downloads would have waited before they asked again."""
    seconds = []
    monkeypatch.setattr(web, "sleep", seconds.append)
    return seconds


def get(target, *urls, **options):
    return fetch(target.name, urls, target, **options)


# ------------------------------------------------------------------------------------ what is slow


def a_byte_at_a_time(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", 10_000)
    handler.end_headers()
    trickle(handler)


def headers_a_byte_at_a_time(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    trickle(handler)


def trickle(handler):
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b"x")


@pytest.mark.parametrize("answer", [a_byte_at_a_time, headers_a_byte_at_a_time])
def test_a_slow_server_is_left_for_the_next(server, tmp_path, monkeypatch, capsys, answer):
    monkeypatch.setattr(web, "WINDOW", 0.2)
    monkeypatch.setattr(web, "ATTEMPTS", 2)
    server.answers["/slow"] = answer
    start = time.monotonic()
    _, mirror = get(tmp_path / "t.csv", f"{server.url}/slow", f"{server.url}/good", sha256=SHA256)
    assert mirror.endswith("/good")
    assert time.monotonic() - start < 60  # of 200 in which it would have sent all
    assert "too slow: " in capsys.readouterr().err


def test_a_slow_end_of_a_file_is_no_slow_server(server, tmp_path, monkeypatch):
    """Waiting counts from the last bytes that came fast enough."""
    monkeypatch.setattr(web, "WINDOW", 2)

    def pieces(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", len(TABLE))
        handler.end_headers()
        for start in range(0, len(TABLE), 7):
            handler.server.released.wait(0.01)
            handler.wfile.write(TABLE[start : start + 7])

    server.answers["/t"] = pieces
    get(tmp_path / "t.csv", f"{server.url}/t", limits=Limits(bytes_a_minute=10**9))
    assert (tmp_path / "t.csv").read_bytes() == TABLE


def headers_without_end(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    forever(handler, b"X-Long: " + b"x" * 60_000 + b"\r\n")


def answers_to_come_without_end(handler):
    forever(handler, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def trailers_without_end(handler):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    handler.wfile.write(chunked + b"1\r\nx\r\n0\r\n")
    forever(handler, b"X-More: " + b"x" * 60_000 + b"\r\n")


def chunks_of_nothing(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    handler.wfile.write(b"1;" + b"x" * 60_000 + b"\r\nx\r\n")
    forever(handler, b"0" * 60_000)


def forever(handler, content):
    while not handler.server.released.is_set():
        handler.wfile.write(content)


@pytest.mark.parametrize(
    "answer",
    [headers_without_end, answers_to_come_without_end, trailers_without_end, chunks_of_nothing],
)
def test_headers_without_end(server, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(web, "OVERHEAD", 200_000)
    monkeypatch.setattr(web, "ATTEMPTS", 1)
    server.answers["/endless"] = answer
    _, mirror = get(tmp_path / "t.csv", f"{server.url}/endless", f"{server.url}/t", sha256=SHA256)
    assert mirror.endswith("/t")


# ------------------------------------------------------------------------------------- redirects


def redirect_to(address, status=302):
    def answer(handler):
        # Its own page has no end, and need not be read.
        handler.send_response(status)
        handler.send_header("Location", address)
        handler.end_headers()
        forever(handler, b"moved" * 10_000)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server, tmp_path, status):
    server.answers["/a"] = redirect_to("/b?x=a b", status)
    server.answers["/b"] = redirect_to(f"{server.url}/c", status)
    get(tmp_path / "t.csv", f"{server.url}/a")
    assert [path for path, _ in server.asked] == ["/a", "/b?x=a%20b", "/c"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://127.0.0.1:1/t.csv", "a redirect: ftp:// is not supported"),
        ("FTP://127.0.0.1:1/t.csv", "a redirect: ftp:// is not supported"),
        ("file:///etc/passwd", "a redirect: file:// is not supported"),
        ("data:,x", "a redirect: data:// is not supported"),
        ("http://[half", "a redirect to what is not a valid address"),
        ("http://127.0.0.1:port/", "a redirect: not a valid address"),
        ("", "without an address to go on to"),
        ("/a", "more than 5 redirects"),
    ],
)
def test_redirects_elsewhere_are_not(server, tmp_path, address, reason):
    server.answers["/a"] = redirect_to(address)
    with pytest.raises(InputError) as error:
        get(tmp_path / "t.csv", f"{server.url}/a")
    assert reason in str(error.value)
    assert not (tmp_path / "t.csv").exists()


@pytest.fixture
def encrypted(tmp_path, monkeypatch):
    """A server behind https, whose certificate this process trusts."""
    certificate = self_signed_certificate(tmp_path / "certificate.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    web._certificates.cache_clear()
    with serving(Handler, monkeypatch) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.answers = {}
        server.asked = []
        server.url = f"https://localhost:{server.server_port}"
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        yield server
    web._certificates.cache_clear()


def self_signed_certificate(path):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_https_does_not_lead_to_http(encrypted, server, tmp_path):
    get(tmp_path / "good.csv", f"{encrypted.url}/t")

    encrypted.answers["/a"] = redirect_to(f"{server.url}/t")
    with pytest.raises(InputError, match="from https:// to http:// is not followed"):
        get(tmp_path / "t.csv", f"{encrypted.url}/a")
    assert not server.asked


# ------------------------------------------------------------------------- what is not the file


def tar_of(content: bytes, mode="w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", content)
    return buffer.getvalue()


def array_of(*values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values))
    return buffer.getvalue()


PAGE = b"<!DOCTYPE html><p>log in"
XML = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
JSON = b'{"error": "rate limit"}'
GOOD = {
    "a.tar": tar_of(b"x"),
    "a.tar.gz": tar_of(b"x", "w:gz"),
    "a.tgz": tar_of(b"x", "w:gz"),
    "a.tar.xz": tar_of(b"x", "w:xz"),
    "a.zip": zip_of(b"x"),
    "a.csv": TABLE,
    "a.csv.gz": gzip.compress(TABLE),
    "a.json": b'{"images": []}',
    "a.npy": array_of(1, 2),
    "a.txt": b"a.jpg cat\n",
    "README": b"anything",
}


MESSAGES = [
    b"404 Not Found",
    b"404: Not Found\n",
    b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
    b"Error 429: slow down, please",
    b"Too many requests, try again later.\n",
    b"The quota of this file is exceeded",
    b"Access Denied",
    b"Please log in to download this file.",
]


@pytest.mark.parametrize("name", GOOD)
def test_what_its_name_says_is_accepted(server, tmp_path, name):
    server.answers["/x"] = lambda handler: send(handler, GOOD[name])
    get(tmp_path / name, f"{server.url}/x")
    assert (tmp_path / name).read_bytes() == GOOD[name]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "content",
    [
        PAGE,
        # Behind the byte order marks of UTF-8 and of UTF-16.
        b"\xef\xbb\xbf" + PAGE,
        b"\xef\xbb\xbf \n<HTML>",
        b"\xff\xfe" + "<html>".encode("utf-16-le"),
        XML,
    ],
)
def test_pages_are_refused_whatever_the_name(server, tmp_path, name, content):
    server.answers["/x"] = lambda handler: send(handler, content, Content_Type="application/zip")
    with pytest.raises(InputError, match="an (HTML|XML) page instead of the file"):
        get(tmp_path / name, f"{server.url}/x")
    assert os.listdir(tmp_path) == [f"{name}.lock"]


NAMES_THAT_SAY_A_FORMAT = [name for name in GOOD if name != "README"]
MESSAGES_AS_FILES = [
    *[(name, JSON) for name in NAMES_THAT_SAY_A_FORMAT],
    *[(name, b"not found") for name in NAMES_THAT_SAY_A_FORMAT],
    *[("a.txt", message) for message in MESSAGES],
    *[("a.csv", message) for message in MESSAGES],
    *[("a.csv.gz", gzip.compress(message)) for message in MESSAGES],
    ("a.tar.gz", gzip.compress(PAGE)),
    ("a.csv.gz", gzip.compress(PAGE)),
    ("a.csv.gz", gzip.compress(JSON)),
]
OTHER_FORMATS = [
    ("a.zip", GOOD["a.tar"]),
    ("a.tar", GOOD["a.zip"]),
    ("a.csv", gzip.compress(TABLE)),
    # Compressed once more, as servers do that compress all they send.
    ("a.tar.gz", gzip.compress(GOOD["a.tar.gz"])),
    ("a.csv.gz", gzip.compress(GOOD["a.csv.gz"])),
]
CUT_OFF = [
    ("a.zip", GOOD["a.zip"][:-30]),
    ("a.tgz", GOOD["a.tgz"][:12]),
    ("a.json", b'{"images": ['),
]


@pytest.mark.parametrize(("name", "content"), [*MESSAGES_AS_FILES, *OTHER_FORMATS, *CUT_OFF])
def test_other_content_than_the_name_says(server, tmp_path, name, content):
    server.answers["/x"] = lambda handler: send(handler, content)
    mirror = tmp_path / "mirror"
    mirror.write_bytes(GOOD[name])
    target = tmp_path / "set" / name

    _, used = get(target, f"{server.url}/x", str(mirror))
    assert used == str(mirror)

    # Also where a person has placed it.
    target.write_bytes(content)
    with pytest.raises(InputError, match=f"not the expected {name}: .*Delete it"):
        get(target, str(mirror))


def test_compressed_answers_are_refused(server, tmp_path):
    packed = gzip.compress(TABLE)
    server.answers["/x"] = lambda handler: send(handler, packed, Content_Encoding="gzip")
    with pytest.raises(InputError, match="compressed as 'gzip', which nobody asked for"):
        get(tmp_path / "t.csv", f"{server.url}/x")
    assert server.asked[0][1]["Accept-Encoding"] == "identity"

    # So some servers describe a file that is compressed itself.
    archive = GOOD["a.tgz"]
    server.answers["/x"] = lambda handler: send(handler, archive, Content_Encoding="x-gzip")
    get(tmp_path / "a.tgz", f"{server.url}/x")
    assert (tmp_path / "a.tgz").read_bytes() == archive


# ----------------------------------------------------------------------------------- Retry-After


def refuse_once(status, retry_after):
    """What a server answers that has the table from the second question on."""
    refused = []

    def answer(handler):
        if refused:
            return send_table(handler)
        refused.append(True)
        send(handler, b"", status, Retry_After=retry_after)

    return answer


def date_in(seconds):
    """As headers have it."""
    now = datetime.datetime.now(datetime.UTC)
    moment = now + datetime.timedelta(seconds=seconds)
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("seconds", "least", "most"), [(60, 30, 60), (-60, 0, 0)])
def test_retry_after_may_be_a_date(server, tmp_path, waits, status, seconds, least, most):
    # The date is made here, not in the list above: tests are collected minutes before they run.
    server.answers["/t"] = refuse_once(status, date_in(seconds))
    get(tmp_path / "t.csv", f"{server.url}/t")
    [waited] = waits
    assert least <= waited <= most


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7),
        # Nothing that can be read is nothing to wait for.
        ("soon", 0, 0),
        ("9" * 5000, 0, 0),
        ("Fri, 99 Abc 99999 99:99:99 GMT", 0, 0),
    ],
)
def test_retry_after_is_waited_for(server, tmp_path, waits, status, retry_after, least, most):
    server.answers["/t"] = refuse_once(status, retry_after)
    get(tmp_path / "t.csv", f"{server.url}/t")
    [waited] = waits
    assert least <= waited <= most


def test_a_long_wait_is_left_for_the_next_mirror(server, tmp_path, waits, capsys):
    server.answers["/t"] = refuse_once(503, "86400")
    _, mirror = get(tmp_path / "t.csv", f"{server.url}/t", f"{server.url}/2")
    assert mirror.endswith("/2")
    assert not waits
    reason = (
        "HTTP 503 Service Unavailable, and asks to wait 86400 s, more than `limits.wait_seconds`"
    )
    assert reason in capsys.readouterr().err


# ---------------------------------------------------------------------- notes and sizes that lie


NO_MAPPINGS = ["", "[]", "7", "null", "\udcff"]
# More than Python's parser takes, and more than a note can have.
HUGE_NOTES = ["{" * 20_000, "[" * 60_000, " " * 100_000 + "{}"]
SIZES_THAT_ARE_NONE = ['"5"', "-5", "5.5", "true", "NaN", "9" * 5000]
WRONG_VALUES = [
    '{"etag": ["x"], "last_modified": null, "size": 5}',
    *[f'{{"etag": "x", "last_modified": null, "size": {size}}}' for size in SIZES_THAT_ARE_NONE],
]


@pytest.mark.parametrize("note", [*NO_MAPPINGS, *HUGE_NOTES, *WRONG_VALUES])
def test_a_damaged_note_is_a_fresh_start(server, tmp_path, note):
    """What is there of the file is fetched again: no part of it is asked for."""
    (tmp_path / "t.csv.part").write_bytes(TABLE[:10])
    (tmp_path / "t.csv.part.json").write_text(note, errors="surrogateescape")

    get(tmp_path / "t.csv", f"{server.url}/t")
    assert (tmp_path / "t.csv").read_bytes() == TABLE
    _, first_headers = server.asked[0]
    assert "Range" not in first_headers


@pytest.mark.parametrize("name", ["t.csv", "t.csv.part", "t.csv.part.json", "t.csv.lock"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_what_is_no_file_is_not_waited_for(server, tmp_path, name, make):
    make(tmp_path / name)
    if (tmp_path / name).is_symlink() and name == "t.csv":
        return  # a link that leads nowhere is replaced
    with pytest.raises(InputError, match=f"{name}: no regular file; remove it"):
        get(tmp_path / "t.csv", f"{server.url}/t")


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 10-{'9' * 5000}/{'9' * 5000}",
        f"bytes 10-33/{'9' * 5000}",
        "bytes 10-33/-5",
        "bytes 10-33/٣٤",
        "bytes 11-33/34",
    ],
)
def test_a_range_that_lies(server, tmp_path, content_range):
    note = {"etag": None, "last_modified": None, "size": len(TABLE)}
    (tmp_path / "t.csv.part").write_bytes(TABLE[:10])
    (tmp_path / "t.csv.part.json").write_text(json.dumps(note))

    def answer(handler):
        if "Range" not in handler.headers:
            return send_table(handler)
        handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nContent-Range: ")
        handler.wfile.write(content_range.encode() + b"\r\n\r\n" + TABLE[10:])

    server.answers["/t"] = answer
    get(tmp_path / "t.csv", f"{server.url}/t", sha256=SHA256)
    assert (tmp_path / "t.csv").read_bytes() == TABLE


def without_end(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    forever(handler, b"1234567,\n" * 10_000)


@pytest.mark.parametrize("size", [None, 34])
def test_a_file_without_end(server, tmp_path, size):
    server.answers["/t"] = without_end
    reason = (
        "more than the expected 34 bytes" if size else "more than 1000000 bytes; .* raise `limi"
    )
    with pytest.raises(InputError, match=reason):
        get(
            tmp_path / "t.csv",
            f"{server.url}/t",
            size=size,
            limits=Limits(file_bytes=1_000_000),
        )
    assert os.listdir(tmp_path) == ["t.csv.lock"]


def test_a_length_beyond_the_limit_goes_to_the_next_mirror(server, tmp_path):
    server.answers["/t"] = lambda handler: send(handler, TABLE, Content_Length=10**17)
    _, mirror = get(tmp_path / "t.csv", f"{server.url}/t", f"{server.url}/2")
    assert mirror.endswith("/2")


def test_a_picture_without_end(server, tmp_path):
    server.answers["/endless.jpg"] = without_end
    server.answers["/lies.jpg"] = lambda handler: send(handler, b"x", Content_Encoding="br")
    urls = {f"{name}.jpg": f"{server.url}/{name}.jpg" for name in ("endless", "lies", "good")}
    limits = Limits(picture_bytes=1_000_000)
    failed = fetch_pictures(urls, tmp_path, lambda path: None, limits)
    reasons = {entry["image"]: entry["reason"] for entry in failed}
    assert "more than 1000000 bytes; " in reasons["endless.jpg"]
    assert "compressed as 'br'" in reasons["lies.jpg"]
    assert sorted(os.listdir(tmp_path)) == ["good.jpg"]


# --------------------------------------------------------------------------------------- secrets


def test_user_and_password_are_used_and_never_shown(server, tmp_path, capsys):
    host = f"127.0.0.1:{server.server_port}"
    address = f"http://ann:p%40{SECRET}@{host}/t?token={SECRET}"
    server.answers["/elsewhere"] = redirect_to(f"http://localhost:{server.server_port}/t")
    facts, mirror = get(tmp_path / "t.csv", address)
    assert mirror == f"http://{host}/t?token=..."
    word = base64.b64encode(f"ann:p@{SECRET}".encode()).decode()
    assert server.asked[0][1]["Authorization"] == f"Basic {word}"

    # Another server is not told.
    get(tmp_path / "2.csv", f"http://ann:{SECRET}@{host}/elsewhere")
    assert server.asked[-1][0] == "/t"
    assert "Authorization" in server.asked[-2][1]
    assert "Authorization" not in server.asked[-1][1]
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err + str(facts)


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:{0}@127.0.0.1:1/t.csv?token={0}",
        "http://ann:{0}@[half/t.csv",
        "http://ann:pa/{0}@127.0.0.1/t.csv",
        "http://127.0.0.1:{0}/t.csv?key={0}",
        "http://ann:{0}@127.0.0.1:1/t\x7f.csv",
        "ftp://ann:{0}@host/t.csv",
        "file://ann:{0}@host/t.csv?token={0}",
        "{1}/missing?token={0}",
        "{1}/moved?token={0}",
    ],
)
def test_what_fails_shows_no_secret(server, tmp_path, monkeypatch, capsys, address):
    monkeypatch.setattr(web, "ATTEMPTS", 1)
    server.answers["/missing"] = lambda handler: send(handler, b"", 404)
    server.answers["/moved"] = redirect_to(f"ftp://ann:{SECRET}@host/?token={SECRET}")
    address = address.format(SECRET, server.url)
    with pytest.raises(InputError) as error:
        get(tmp_path / "t.csv", address)
    hidden = str(error.value).replace(f"127.0.0.1:{SECRET}", "")  # a port is no secret
    assert SECRET not in hidden + capsys.readouterr().err.replace(f"127.0.0.1:{SECRET}", "")

    failed = fetch_pictures({"a.jpg": address}, tmp_path / "pictures", lambda path: None)
    assert SECRET not in str(failed)


def test_variables_keep_secrets_out_of_the_settings(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKEN", SECRET)

    def settings(url):
        archives = [{"name": "t.csv", "urls": [url]}]
        return CsvData(format="csv", table="t.csv", pictures=None, archives=archives)

    download(settings(server.url + "/t?token=${TOKEN}"), tmp_path / "a")
    assert server.asked[-1][0] == f"/t?token={SECRET}"
    assert "git keeps" not in capsys.readouterr().err

    download(settings(f"{server.url}/t?token={SECRET}"), tmp_path / "b")
    warning = capsys.readouterr().err
    assert "t.csv has a user, a password or a token in it, which git keeps" in warning
    assert SECRET not in warning

    monkeypatch.delenv("TOKEN")
    with pytest.raises(InputError, match="no variable TOKEN; set it"):
        download(settings(server.url + "/t?token=${TOKEN}"), tmp_path / "c")
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


def test_nothing_is_made_where_nothing_can_be_fetched(tmp_path):
    with pytest.raises(InputError, match="no address in the settings"):
        get(tmp_path / "outside" / "t.csv")
    assert not (tmp_path / "outside").exists()
