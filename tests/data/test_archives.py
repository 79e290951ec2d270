"""Downloads from a real server on loopback that misbehaves on request; extraction of hostile and damaged archives."""

import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import serving

from mlrepro.data import archives
from mlrepro.data.archives import extract, fetch
from mlrepro.errors import InputError

BODY = random.Random(0).randbytes(3_000_001)
HALF = len(BODY) // 2
SHA256, MD5 = hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers GET with the server's body; the server's `script` says what goes wrong, one word a request."""

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        how = server.script.pop(0) if server.script else "good"
        server.ranges.append(asked)
        if how.isdigit():
            return self.send_error(int(how))
        if how == "silent":
            return server.released.wait(20)
        ranged = asked and how in ("good", "break", "hold")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if ranged else 0
        if start and start >= len(server.body):
            return self.send_error(416)
        body = {"html": b"<!DOCTYPE html><p>moved", "wrong": BODY[::-1]}.get(how, server.body)[
            start:
        ]
        cut = len(body) // 2 if how in ("break", "hold") else len(body)
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Type", "text/html" if how == "html-type" else "application/x-tar")
        self.send_header("Content-Length", len(body))
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}"
            )
        self.end_headers()
        server.sent += cut  # counted first: the reader may be done before write() returns
        self.wfile.write(body[:cut])
        if how == "hold":  # the connection stays open, with the other half still to come
            server.held()
            server.released.wait(20)
            server.sent += len(body) - cut
            self.wfile.write(body[cut:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(archives, "TIMEOUT", 5)
    with serving(Handler, monkeypatch) as server:
        server.body, server.etag, server.script, server.ranges, server.sent = (
            BODY,
            '"one"',
            [],
            [],
            0,
        )
        server.held = lambda: None
        server.url = f"http://127.0.0.1:{server.server_port}/images.tar"
        yield server


def get(server, target, *urls, **wanted):
    return fetch("images.tar", urls or [server.url], target, **({"sha256": SHA256} | wanted))


def leave_part(folder, content, etag='"one"'):
    identity = {"etag": etag, "last_modified": None, "size": len(BODY)}
    (folder / "images.tar.part").write_bytes(content)
    (folder / "images.tar.part.json").write_text(json.dumps(identity))


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def in_child(code, *arguments):
    code = "import os, signal, sys, pathlib; from mlrepro.data import archives\n" + code
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(archives.__file__).parents[2])},
    )


def wait_for_half(part):
    """Until the reader of a held connection has written what it was sent."""
    end = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size == HALF):
        assert time.monotonic() < end
        time.sleep(0.005)


FETCH = """
url, target, sha256 = sys.argv[1:]
print(archives.fetch("images.tar", [url], pathlib.Path(target), sha256=sha256)[1], file=sys.stderr)
"""


def test_download_is_verified_and_kept(server, tmp_path):
    target = tmp_path / "raw" / "images.tar"
    got = get(server, target, md5=MD5.upper(), size=len(BODY))
    assert got == ({"name": "images.tar", "size": len(BODY), "sha256": SHA256}, server.url)
    assert target.read_bytes() == BODY and files_in(target.parent) == [
        "images.tar",
        "images.tar.lock",
    ]
    before = target.stat()
    assert get(server, target, md5=MD5)[1] == "present"
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert server.ranges == [None]


def test_broken_connection_is_resumed(server, tmp_path):
    server.script = ["break", "503", "break"]
    get(server, tmp_path / "images.tar")
    rest = len(BODY) - HALF
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-", f"bytes={HALF + rest // 2}-"]
    assert server.sent == len(BODY) and (tmp_path / "images.tar").read_bytes() == BODY


def test_killed_download_is_resumed(server, tmp_path):
    target, server.script = tmp_path / "images.tar", ["hold"]
    child = in_child(FETCH, server.url, target, SHA256)
    wait_for_half(tmp_path / "images.tar.part")
    child.kill()
    child.communicate(timeout=20)
    assert files_in(tmp_path) == ["images.tar.lock", "images.tar.part", "images.tar.part.json"]
    assert get(server, target)[0]["sha256"] == SHA256 and target.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-"] and server.sent == len(BODY)


@pytest.mark.parametrize(
    "case", ["no-range", "changed", "shorter", "no sidecar", "too long", "other bytes"]
)
def test_part_that_does_not_fit_is_not_continued(server, tmp_path, case):
    leave_part(
        tmp_path,
        {"other bytes": bytes(HALF), "too long": bytes(len(BODY) + 1)}.get(case, BODY[:HALF]),
    )
    if case == "no sidecar":
        (tmp_path / "images.tar.part.json").unlink()
    elif case == "no-range":
        server.script = ["no-range"]
    elif case == "changed":
        server.body, server.etag = BODY[::-1], '"two"'
    elif case == "shorter":
        server.body = BODY[:1000]  # under the same ETag: the server answers 416
    expected = hashlib.sha256(server.body).hexdigest()
    # Only "other bytes" leaves the discovery to the checksum.
    assert (
        get(server, tmp_path / "images.tar", sha256=expected if case == "other bytes" else None)[0][
            "sha256"
        ]
        == expected
    )
    assert (tmp_path / "images.tar").read_bytes() == server.body
    resumed, restarted = case not in ("no sidecar", "too long"), case != "no-range"
    assert server.ranges == [f"bytes={HALF}-"] * resumed + [None] * restarted


def test_validators_decide_without_a_checksum(server, tmp_path, capsys):
    leave_part(tmp_path, bytes(HALF), etag=None)
    assert get(server, tmp_path / "images.tar", sha256=None)[0]["sha256"] == SHA256
    assert server.ranges == [None] and f"sha256: {SHA256}" in capsys.readouterr().err
    leave_part(tmp_path, BODY)
    (tmp_path / "images.tar").unlink()
    get(server, tmp_path / "images.tar", sha256=None)  # a complete part costs one byte
    assert server.sent == len(BODY) + 1


@pytest.mark.parametrize(
    "how, reason",
    [
        ("404", "HTTP 404"),
        ("html", "an HTML page"),
        ("html-type", "an HTML page"),
        ("wrong", SHA256),
    ],
)
def test_bad_answer_goes_to_the_next_mirror(server, tmp_path, how, reason, capsys):
    server.script = [how]
    (tmp_path / "mirror").write_bytes(BODY)
    assert get(server, tmp_path / "images.tar", server.url, str(tmp_path / "mirror"))[1] == str(
        tmp_path / "mirror"
    )
    assert reason in capsys.readouterr().err and len(server.ranges) == 1


def test_html_page_costs_no_partial_file(server, tmp_path):
    server.script = ["break", "html"]
    with pytest.raises(InputError, match="an HTML page"):
        get(server, tmp_path / "images.tar", size=len(BODY))
    assert (tmp_path / "images.tar.part").read_bytes() == BODY[:HALF]


def test_all_mirrors_fail(server, tmp_path):
    server.script = ["wrong"] + ["500"] * archives.ATTEMPTS
    mirrors = [
        server.url,
        server.url + "?2",
        "ftp://host/images.tar",
        "http://[half",
        f"file://{tmp_path}/none",
    ]
    with pytest.raises(InputError) as error:
        get(server, tmp_path / "images.tar", *mirrors)
    reasons = [
        f"sha256 {hashlib.sha256(BODY[::-1]).hexdigest()}, expected {SHA256}",
        "HTTP 500",
        "not supported",
        "not a valid address",
        "no readable file",
    ]
    *lines, remedy = str(error.value).splitlines()[1:]
    assert f"by hand at {tmp_path / 'images.tar'}" in remedy
    for line, mirror, reason in zip(lines, mirrors, reasons, strict=True):
        assert line.startswith(f"  {mirror}: ") and reason in line
    assert files_in(tmp_path) == [
        "images.tar.lock"
    ]  # the wrong part is gone: the next run starts clean


def test_silent_server_and_closed_port_do_not_hang(server, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ATTEMPTS", 2)
    monkeypatch.setattr(archives, "TIMEOUT", 0.1)
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
    assert len(server.ranges) < 12 and (tmp_path / "images.tar.part").stat().st_size < len(BODY)


def test_present_file_of_other_content_is_refused_and_kept(tmp_path):
    target, found = tmp_path / "images.tar", hashlib.sha256(b"mine").hexdigest()
    target.write_bytes(b"mine")
    with pytest.raises(
        InputError, match=f"{target}: .*sha256 {found}, expected {SHA256}; md5 .* move it away"
    ):
        fetch("images.tar", [], target, sha256=SHA256, md5=MD5)
    assert target.read_bytes() == b"mine"
    assert (
        fetch("images.tar", [], target, md5=hashlib.md5(b"mine").hexdigest())[1] == "present"
    )  # placed by hand


@pytest.mark.parametrize("form", ["{0}/images.tar", "{0}", "file://{0}/images.tar"])
def test_local_mirror_is_copied(tmp_path, form):
    (tmp_path / "a mirror").mkdir()
    source, target = tmp_path / "a mirror" / "images.tar", tmp_path / "raw" / "images.tar"
    source.write_bytes(BODY)
    url = form.format(source.parent)
    assert fetch("images.tar", [url], target, sha256=SHA256)[1] == url
    assert target.read_bytes() == BODY and target.stat().st_ino != source.stat().st_ino


def test_full_disk_keeps_the_part(server, tmp_path):
    """On a real small file system where it may be mounted, else under a limit on the size of a file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    limits, ballast = resource.getrlimit(resource.RLIMIT_FSIZE), disk / "ballast"

    def fill():
        wait_for_half(disk / "images.tar.part")
        if not mounted:
            return resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
        return ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 400_000))

    server.script, server.held = ["hold"], lambda: (fill(), server.released.set())
    try:
        with pytest.raises(
            InputError, match=r"(No space left|File too large).* bytes are needed, \d+ are free"
        ):
            get(server, disk / "images.tar")
        kept = (disk / "images.tar.part").stat().st_size
        assert HALF <= kept < len(BODY)
        if mounted:  # known to be too small before anything is written
            with pytest.raises(InputError, match=f"too small: {len(BODY) - kept} more bytes"):
                get(server, disk / "images.tar")
            ballast.unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        get(server, disk / "images.tar")
        assert server.ranges[-1] == f"bytes={kept}-" and (disk / "images.tar").read_bytes() == BODY
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", disk], check=True)


def test_two_processes_download_once(server, tmp_path):
    target, holding = tmp_path / "images.tar", threading.Event()
    server.script, server.held = ["hold"], holding.set
    first = in_child(FETCH, server.url, target, SHA256)
    assert holding.wait(20)
    second = in_child(FETCH, server.url, target, SHA256)
    assert "waiting for another process" in second.stderr.readline()
    server.released.set()
    assert first.communicate(timeout=20)[1].strip() == server.url
    assert second.communicate(timeout=20)[1].strip() == "present"
    assert server.ranges == [None] and target.read_bytes() == BODY


CONTENT = {"set/a.txt": b"first", "set/deep/b.txt": b"second" * 50_000, "c.txt": b"third"}


def make(path, content=CONTENT, extra=()):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(
        path, "w:" + {".tar": "", ".tgz": "gz"}.get(path.suffix, path.suffix[1:])
    ) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o4777
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


def read(folder):
    return {
        name: (folder / name).read_bytes() for name in files_in(folder) if not name.startswith(".")
    }


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.zip"])
def test_extract_once(tmp_path, name):
    archive, folder = make(tmp_path / name, {"./c.txt": b"overridden"} | CONTENT), tmp_path / "out"
    extract(archive, folder)
    assert read(folder) == CONTENT and not (folder / "set/a.txt").stat().st_mode & 0o7022
    (folder / "c.txt").write_bytes(b"touched")
    extract(archive, folder)
    assert (folder / "c.txt").read_bytes() == b"touched"
    os.utime(archive, (0, 0))  # another archive, as far as anyone can tell
    extract(archive, folder)
    assert read(folder) == CONTENT


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "set/../../evil",
        "/tmp/mlrepro-evil",
        "C:evil",
        "..\\evil",
        ".extracted-x.tar.json",
    ],
)
def test_hostile_names_are_refused_before_anything_is_written(tmp_path, form, name):
    archive = make(tmp_path / f"x.{form}", CONTENT | {name: b"evil"})
    with pytest.raises(InputError, match="nothing was extracted") as error:
        extract(archive, tmp_path / "out")
    assert str(archive) in str(error.value) and repr(name) in str(error.value)
    assert files_in(tmp_path) == [archive.name] and not Path("/tmp/mlrepro-evil").exists()


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize("name", ["set", "set/a.txt/evil"])
def test_a_file_that_is_also_a_folder_is_refused(tmp_path, form, name):
    with pytest.raises(InputError, match=f"x.{form}: .*set"):
        extract(make(tmp_path / f"x.{form}", CONTENT | {name: b"evil"}), tmp_path / "out")
    assert not list((tmp_path / "out").glob(".extracted-*"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("evil")
    info.type, info.linkname = kind, "set/a.txt"
    link = zipfile.ZipInfo("evil")
    link.external_attr = 0o120777 << 16
    for archive in (
        make(tmp_path / "x.tar.gz", extra=[info]),
        make(tmp_path / "x.zip", CONTENT | {link: "/etc/passwd"}),
    ):
        with pytest.raises(InputError, match="'evil' is not a plain file"):
            extract(archive, tmp_path / "out")
    assert files_in(tmp_path) == ["x.tar.gz", "x.zip"]


@pytest.mark.parametrize(
    "name, keep",
    [
        ("x.tar", 0),
        ("x.tar", 700),
        ("x.tar", 1024),
        ("x.tar", 2000),
        ("x.tar.gz", 200),
        ("x.tar.gz", -4),
        ("x.tar.xz", 200),
        ("x.zip", -8),
    ],
)
def test_truncated_archive_is_named(tmp_path, name, keep):
    archive = make(tmp_path / name)
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(InputError, match=f"{name}: truncated or damaged"):
        extract(archive, tmp_path / "out")
    assert files_in(tmp_path) == [name]


@pytest.mark.parametrize("name, at", [("x.tar", 1024 + 5), ("x.zip", 40)])
def test_damaged_archive_gets_no_stamp(tmp_path, name, at):
    """A damaged header in the middle of a tar, which Python's reader takes for its end; a wrong CRC in a zip."""
    archive = make(tmp_path / name)
    data = archive.read_bytes()
    archive.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(InputError, match=f"{name}: truncated or damaged"):
        extract(archive, tmp_path / "out")
    assert not list((tmp_path / "out").glob(".extracted-*"))


def test_negative_size_does_not_loop(tmp_path):
    first, second = tarfile.TarInfo("first"), tarfile.TarInfo("second")
    second.size = -512  # sends a reader back to this header
    (tmp_path / "x.tar").write_bytes(first.tobuf() + second.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(InputError, match="negative size"):
        extract(tmp_path / "x.tar", tmp_path / "out")


def test_disk_too_small_for_the_content(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=300_009))
    with pytest.raises(InputError, match="300010 more bytes are needed, 300009 are free"):
        extract(make(tmp_path / "x.tar"), tmp_path / "out")
    assert files_in(tmp_path) == ["x.tar"]
    (tmp_path / "out" / "c.txt").write_bytes(b"c")  # what an earlier run wrote is not needed again
    extract(tmp_path / "x.tar", tmp_path / "out")
    assert read(tmp_path / "out") == CONTENT


KILLED = """
import tarfile
copy, left = tarfile.copyfileobj, [1]
tarfile.copyfileobj = lambda *what: copy(*what) if left and left.pop() else os.kill(os.getpid(), signal.SIGKILL)
archives.extract(*map(pathlib.Path, sys.argv[1:]))
"""


def test_killed_extraction_is_completed(tmp_path):
    archive, folder = make(tmp_path / "x.tar"), tmp_path / "out"
    child = in_child(KILLED, archive, folder)
    child.communicate(timeout=20)
    assert child.returncode == -signal.SIGKILL
    assert (
        files_in(folder) == ["set/a.txt", "set/deep/b.txt"]
        and not (folder / "set/deep/b.txt").stat().st_size
    )
    extract(archive, folder)
    assert read(folder) == CONTENT and files_in(folder) == sorted(
        [*CONTENT, ".extracted-x.tar.json"]
    )
