"""Extraction of good, hostile and damaged archives."""

import io
import os
import signal
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import PATIENCE
from test_fetching import files_in, in_child

from mlrepro.data import disk
from mlrepro.data.archives import extract
from mlrepro.errors import InputError

CONTENT = {"set/a.txt": b"first", "set/deep/b.txt": b"second" * 50_000, "c.txt": b"third"}
COMPRESSIONS = {".tar": "", ".tgz": "gz", ".gz": "gz", ".xz": "xz"}  # by the suffix of a tar


def make(path, content=CONTENT, extra=()):
    """A tar or zip, by the suffix of its name; `extra`: members of a tar without content."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path

    with tarfile.open(path, f"w:{COMPRESSIONS[path.suffix]}") as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o4777
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


def read(folder):
    """Content of the files, by name, without the stamps."""
    names = [name for name in files_in(folder) if not name.startswith(".")]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.zip"])
def test_extract_once(tmp_path, name):
    archive = make(tmp_path / name, {"./c.txt": b"overridden"} | CONTENT)
    folder = tmp_path / "out"
    extract(archive, folder)
    assert read(folder) == CONTENT
    assert not (folder / "set/a.txt").stat().st_mode & 0o7022

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
    assert str(archive) in str(error.value)
    assert repr(name) in str(error.value)
    assert files_in(tmp_path) == [archive.name]
    assert not Path("/tmp/mlrepro-evil").exists()


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize("name", ["set", "set/a.txt/evil"])
def test_a_file_that_is_also_a_folder_is_refused(tmp_path, form, name):
    archive = make(tmp_path / f"x.{form}", CONTENT | {name: b"evil"})
    with pytest.raises(InputError, match=f"x.{form}: .*set"):
        extract(archive, tmp_path / "out")
    assert not list((tmp_path / "out").glob(".extracted-*"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    in_tar = tarfile.TarInfo("evil")
    in_tar.type = kind
    in_tar.linkname = "set/a.txt"
    in_zip = zipfile.ZipInfo("evil")
    in_zip.external_attr = 0o120777 << 16
    archives = [
        make(tmp_path / "x.tar.gz", extra=[in_tar]),
        make(tmp_path / "x.zip", CONTENT | {in_zip: "/etc/passwd"}),
    ]
    for archive in archives:
        with pytest.raises(InputError, match="'evil' is not a plain file"):
            extract(archive, tmp_path / "out")
    assert files_in(tmp_path) == ["x.tar.gz", "x.zip"]


@pytest.mark.parametrize(
    ("name", "keep"),
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


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("x.tar", 1024 + 5),  # a header in the middle, which Python's reader takes for the end
        ("x.zip", 40),  # a byte of a member, so that its CRC is wrong
    ],
)
def test_damaged_archive_gets_no_stamp(tmp_path, name, at):
    archive = make(tmp_path / name)
    content = bytearray(archive.read_bytes())
    content[at] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: truncated or damaged"):
        extract(archive, tmp_path / "out")
    assert not list((tmp_path / "out").glob(".extracted-*"))


def test_negative_size_does_not_loop(tmp_path):
    first = tarfile.TarInfo("first")
    second = tarfile.TarInfo("second")
    second.size = -512  # sends a reader back to this header
    content = first.tobuf() + second.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(InputError, match="negative size"):
        extract(tmp_path / "x.tar", tmp_path / "out")


def test_disk_too_small_for_the_content(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=300_009))
    with pytest.raises(InputError, match="300010 more bytes are needed, 300009 are free"):
        extract(make(tmp_path / "x.tar"), tmp_path / "out")
    assert files_in(tmp_path) == ["x.tar"]

    (tmp_path / "out" / "c.txt").write_bytes(b"c")  # what an earlier run wrote is not needed again
    extract(tmp_path / "x.tar", tmp_path / "out")
    assert read(tmp_path / "out") == CONTENT


# Writes the first member; kills itself when it comes to the content of the second.
KILLED = """
import os, signal, sys, tarfile
from pathlib import Path
from mlrepro.data.archives import extract

copy = tarfile.copyfileobj
copied = []

def copy_once(*arguments):
    if copied:
        os.kill(os.getpid(), signal.SIGKILL)
    copied.append(True)
    return copy(*arguments)

tarfile.copyfileobj = copy_once
extract(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_extraction_is_completed(tmp_path):
    archive = make(tmp_path / "x.tar")
    folder = tmp_path / "out"
    child = in_child(KILLED, archive, folder)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == -signal.SIGKILL
    assert files_in(folder) == ["set/a.txt", "set/deep/b.txt"]
    assert not (folder / "set/deep/b.txt").stat().st_size

    extract(archive, folder)
    assert read(folder) == CONTENT
    assert files_in(folder) == sorted([*CONTENT, ".extracted-x.tar.json"])
