"""Downloads of one file from a real server on loopback that misbehaves on request."""

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from conftest import PATIENCE, serving

import mlrepro
from mlrepro.data.fetching import web
from mlrepro.data.fetching.mirrors import fetch
from mlrepro.errors import InputError


def tar_like(seed: int) -> bytes:
    """Bytes that begin as a tar does, so that they may be called images.tar."""
    return tarfile.TarInfo("picture.jpg").tobuf() + random.Random(seed).randbytes(2_999_489)


BODY = tar_like(0)
HALF = len(BODY) // 2
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers GET with the server's body; `server.script` says what goes wrong, one word a request.

    A number is a status. "silent": no answer. "html", "html-type", "wrong": something else with
    status 200. "no-range": the whole file, whatever part was asked for. "break": half of what was
    asked for. "hold": likewise, and the other half when the server is released.
    """

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        how = server.script.pop(0) if server.script else "good"
        server.ranges.append(asked)
        if how.isdigit():
            return self.send_error(int(how))
        if how == "silent":
            return server.released.wait(20)

        start = 0
        if asked and how in ("good", "break", "hold"):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.body):
            return self.send_error(416)

        bodies = {"html": b"<!DOCTYPE html><p>moved", "wrong": BODY[::-1]}
        body = bodies.get(how, server.body)[start:]
        sent_at_once = len(body) // 2 if how in ("break", "hold") else len(body)
        self._send_headers(how, start, len(body))
        server.sent += sent_at_once  # counted first: the reader may be done before write() returns
        self.wfile.write(body[:sent_at_once])

        if how == "hold":
            server.held()
            server.released.wait(20)
            server.sent += len(body) - sent_at_once
            self.wfile.write(body[sent_at_once:])

    def _send_headers(self, how, start, length):
        total = len(self.server.body)
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Type", "text/html" if how == "html-type" else "application/x-tar")
        self.send_header("Content-Length", length)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", 5)
    with serving(Handler, monkeypatch) as server:
        server.body = BODY
        server.etag = '"one"'
        server.script = []
        server.ranges = []  # that were asked for, one a request
        server.sent = 0  # bytes of bodies
        server.held = lambda: None
        server.url = f"http://127.0.0.1:{server.server_port}/images.tar"
        yield server


def get(server, target, *urls, **expected):
    return fetch("images.tar", urls or [server.url], target, **({"sha256": SHA256} | expected))


def leave_part(folder, content, etag='"one"'):
    """What a killed download leaves behind."""
    identity = {"etag": etag, "last_modified": None, "size": len(BODY)}
    (folder / "images.tar.part").write_bytes(content)
    (folder / "images.tar.part.json").write_text(json.dumps(identity))


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def in_child(code, *arguments):
    """Run code in another Python, with its arguments in sys.argv."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(mlrepro.__file__).parents[1])},
    )


def wait_for_half(part):
    """Wait until the reader of a held connection has written what it was sent."""
    end = time.monotonic() + PATIENCE
    while not (part.exists() and part.stat().st_size == HALF):
        assert time.monotonic() < end
        time.sleep(0.005)


FETCH = """
import sys
from pathlib import Path
from mlrepro.data.fetching.mirrors import fetch

url, target, sha256 = sys.argv[1:]
facts, mirror = fetch("images.tar", [url], Path(target), sha256=sha256)
print(mirror, file=sys.stderr)
"""


def test_download_is_verified_and_kept(server, tmp_path):
    target = tmp_path / "raw" / "images.tar"
    facts, mirror = get(server, target, md5=MD5.upper(), size=len(BODY))
    assert facts == {"name": "images.tar", "size": len(BODY), "sha256": SHA256}
    assert mirror == server.url
    assert target.read_bytes() == BODY
    assert files_in(target.parent) == ["images.tar", "images.tar.lock"]

    before = target.stat()
    _, mirror = get(server, target, md5=MD5)
    after = target.stat()
    assert mirror == "present"
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert server.ranges == [None]


def test_broken_connection_is_resumed(server, tmp_path):
    server.script = ["break", "503", "break"]
    get(server, tmp_path / "images.tar")
    three_quarters = HALF + (len(BODY) - HALF) // 2
    assert server.ranges == [
        None,
        f"bytes={HALF}-",
        f"bytes={HALF}-",
        f"bytes={three_quarters}-",
    ]
    assert server.sent == len(BODY)
    assert (tmp_path / "images.tar").read_bytes() == BODY


def test_killed_download_is_resumed(server, tmp_path):
    target = tmp_path / "images.tar"
    server.script = ["hold"]
    child = in_child(FETCH, server.url, target, SHA256)
    wait_for_half(tmp_path / "images.tar.part")
    child.kill()
    child.communicate(timeout=PATIENCE)
    assert files_in(tmp_path) == ["images.tar.lock", "images.tar.part", "images.tar.part.json"]

    facts, _ = get(server, target)
    assert facts["sha256"] == SHA256
    assert target.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.sent == len(BODY)


@pytest.mark.parametrize(
    "case", ["no-range", "changed", "shorter", "no note", "too long", "other bytes"]
)
def test_part_that_does_not_fit_is_not_continued(server, tmp_path, case):
    part = {"other bytes": bytes(HALF), "too long": bytes(len(BODY) + 1)}.get(case, BODY[:HALF])
    leave_part(tmp_path, part)
    if case == "no note":
        (tmp_path / "images.tar.part.json").unlink()
    elif case == "no-range":
        server.script = ["no-range"]
    elif case == "changed":
        server.body = tar_like(1)
        server.etag = '"two"'
    elif case == "shorter":
        server.body = BODY[:1000]  # under the same ETag: the server answers 416

    # Only "other bytes" leaves the discovery to the checksum.
    right = hashlib.sha256(server.body).hexdigest()
    checksum = right if case == "other bytes" else None
    facts, _ = get(server, tmp_path / "images.tar", sha256=checksum)
    assert facts["sha256"] == right
    assert (tmp_path / "images.tar").read_bytes() == server.body

    asked_for_the_rest = [] if case in ("no note", "too long") else [f"bytes={HALF}-"]
    asked_for_all = [] if case == "no-range" else [None]
    assert server.ranges == asked_for_the_rest + asked_for_all


def test_validators_decide_without_a_checksum(server, tmp_path, capsys):
    leave_part(tmp_path, bytes(HALF), etag=None)
    facts, _ = get(server, tmp_path / "images.tar", sha256=None)
    assert facts["sha256"] == SHA256
    assert server.ranges == [None]
    assert f"sha256: {SHA256}" in capsys.readouterr().err

    leave_part(tmp_path, BODY)
    (tmp_path / "images.tar").unlink()
    get(server, tmp_path / "images.tar", sha256=None)
    assert server.sent == len(BODY) + 1  # a complete part costs one byte


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("404", "HTTP 404"),
        ("html", "an HTML page"),
        ("html-type", "an HTML page"),
        ("wrong", SHA256),
    ],
)
def test_bad_answer_goes_to_the_next_mirror(server, tmp_path, how, reason, capsys):
    server.script = [how]
    second = tmp_path / "mirror"
    second.write_bytes(BODY)
    _, mirror = get(server, tmp_path / "images.tar", server.url, str(second))
    assert mirror == str(second)
    assert reason in capsys.readouterr().err
    assert len(server.ranges) == 1


def test_html_page_costs_no_partial_file(server, tmp_path):
    server.script = ["break", "html"]
    with pytest.raises(InputError, match="an HTML page"):
        get(server, tmp_path / "images.tar", size=len(BODY))
    assert (tmp_path / "images.tar.part").read_bytes() == BODY[:HALF]


def test_all_mirrors_fail(server, tmp_path):
    server.script = ["wrong"] + ["500"] * web.ATTEMPTS
    wrong_sha256 = hashlib.sha256(BODY[::-1]).hexdigest()
    reasons = {
        server.url: f"sha256 {wrong_sha256}, expected {SHA256}",
        server.url + "?2": "HTTP 500",
        "ftp://host/images.tar": "not supported",
        "http://[half": "not a valid address",
        f"file://{tmp_path}/none": "no readable file",
        "~no-such-user/images.tar": "nobody knows the home folder that ~ stands for",
        "file://~no-such-user/images.tar": "nobody knows the home folder that ~ stands for",
    }
    with pytest.raises(InputError) as error:
        get(server, tmp_path / "images.tar", *reasons)

    _, *lines, remedy = str(error.value).splitlines()
    assert f"by hand at {tmp_path / 'images.tar'}" in remedy
    for line, (mirror, reason) in zip(lines, reasons.items(), strict=True):
        assert line.startswith(f"  {mirror}: ")
        assert reason in line
    # The wrong part is gone: the next run starts clean.
    assert files_in(tmp_path) == ["images.tar.lock"]


def test_silent_server_and_closed_port_do_not_hang(server, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "ATTEMPTS", 2)
    monkeypatch.setattr(web, "TIMEOUT", 0.1)
    server.script = ["silent", "silent"]
    with pytest.raises(InputError, match=r"timed out \(2 attempts\)\n.*refused"):
        fetch("images.tar", [server.url, "http://127.0.0.1:1/"], tmp_path / "images.tar")


def test_short_or_unexpected_size(server, tmp_path):
    with pytest.raises(InputError, match=f"size {len(BODY)}, expected 7"):
        get(server, tmp_path / "images.tar", size=7)
    assert not (tmp_path / "images.tar.part").exists()

    server.script = ["break"] * 40
    with pytest.raises(InputError, match=f"closed after .* of {len(BODY)} bytes"):
        get(server, tmp_path / "images.tar")
    assert len(server.ranges) < 12
    assert (tmp_path / "images.tar.part").stat().st_size < len(BODY)


def test_present_file_of_other_content_is_refused_and_kept(tmp_path):
    target = tmp_path / "images.tar"
    target.write_bytes(b"mine")
    actual = hashlib.sha256(b"mine").hexdigest()
    message = f"{target}: .*sha256 {actual}, expected {SHA256}; md5 .* move it away"
    with pytest.raises(InputError, match=message):
        fetch("images.tar", [], target, sha256=SHA256, md5=MD5)
    assert target.read_bytes() == b"mine"

    # As a person may place it by hand, where no mirror is known.
    _, mirror = fetch("images.tar", [], target, md5=hashlib.md5(b"mine").hexdigest())
    assert mirror == "present"


@pytest.mark.parametrize("form", ["{0}/images.tar", "{0}", "file://{0}/images.tar"])
def test_local_mirror_is_copied(tmp_path, form):
    source = tmp_path / "a mirror" / "images.tar"
    target = tmp_path / "raw" / "images.tar"
    source.parent.mkdir()
    source.write_bytes(BODY)

    url = form.format(source.parent)
    _, mirror = fetch("images.tar", [url], target, sha256=SHA256)
    assert mirror == url
    assert target.read_bytes() == BODY
    assert target.stat().st_ino != source.stat().st_ino


@pytest.fixture
def small_disk(tmp_path):
    """A folder, and whether it is a real small file system, which takes the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk]
    is_root = os.geteuid() == 0
    mounted = is_root and subprocess.run(mount, capture_output=True).returncode == 0
    yield disk, mounted
    if mounted:
        subprocess.run(["umount", disk], check=True)


def test_full_disk_keeps_the_part(server, small_disk):
    """On a real small file system where it may be mounted, else under a limit on a file's size."""
    disk, mounted = small_disk
    ballast = disk / "ballast"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk_in_the_middle():
        wait_for_half(disk / "images.tar.part")
        if mounted:
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 400_000))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
        server.released.set()

    server.script = ["hold"]
    server.held = fill_the_disk_in_the_middle
    full = r"(No space left|File too large).* bytes are needed, \d+ are free"
    try:
        with pytest.raises(InputError, match=full):
            get(server, disk / "images.tar")
        kept = (disk / "images.tar.part").stat().st_size
        assert HALF <= kept < len(BODY)

        if mounted:  # known to be too small before anything is written
            with pytest.raises(InputError, match=f"too small: {len(BODY) - kept} more bytes"):
                get(server, disk / "images.tar")
            ballast.unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        get(server, disk / "images.tar")
        assert server.ranges[-1] == f"bytes={kept}-"
        assert (disk / "images.tar").read_bytes() == BODY
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_two_processes_download_once(server, tmp_path):
    target = tmp_path / "images.tar"
    holding = threading.Event()
    server.script = ["hold"]
    server.held = holding.set
    first = in_child(FETCH, server.url, target, SHA256)
    assert holding.wait(20)
    second = in_child(FETCH, server.url, target, SHA256)
    assert "waiting for another process" in second.stderr.readline()

    server.released.set()
    assert first.communicate(timeout=PATIENCE)[1].strip() == server.url
    assert second.communicate(timeout=PATIENCE)[1].strip() == "present"
    assert server.ranges == [None]
    assert target.read_bytes() == BODY
