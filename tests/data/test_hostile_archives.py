"""Archives whose headers, sizes and names were made to do harm; the plain cases: test_archives."""

import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile

import pytest
from test_archives import CONTENT, make, read
from test_fetching import files_in

from mlrepro.data import archives
from mlrepro.data.archives import extract
from mlrepro.errors import InputError
from mlrepro.settings.data import Limits


def tar_with_headers(path, name="a.jpg", content=b"x", **headers):
    """A tar of one member with pax headers of its own."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        info.pax_headers = {key.replace("_", "."): value for key, value in headers.items()}
        archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "-1e300", "1e18", "soon"])
@pytest.mark.parametrize("key", ["mtime", "atime", "ctime"])
def test_times_that_no_system_knows(tmp_path, key, value):
    archive = tar_with_headers(tmp_path / "x.tar", **{key: value})
    extract(archive, tmp_path / "out")
    assert read(tmp_path / "out") == {"a.jpg": b"x"}


@pytest.mark.parametrize("key", ["uid", "gid", "size"])
@pytest.mark.parametrize("value", ["-1", "9" * 30, "9" * 5000, "nan", "x"])
def test_numbers_that_lie(tmp_path, key, value):
    archive = tar_with_headers(tmp_path / "x.tar", **{key: value})
    try:
        extract(archive, tmp_path / "out")
    except InputError as error:
        assert str(archive) in str(error) or "more bytes are needed" in str(error)
        assert files_in(tmp_path) == ["x.tar"]


@pytest.mark.parametrize(
    "pieces",
    ["-5,3", "0,-3", "0,9000000000", "5,3,0,3", "0,1,0,1", "x,y", "1", ",", "9" * 5000, "0,1,2"],
)
def test_maps_of_holes_that_lie(tmp_path, pieces):
    """GNU's sparse files of version 0.1, which say where the pieces are in a header."""
    headers = {"GNU_sparse_map": pieces, "GNU_sparse_size": "8", "GNU_sparse_numblocks": "1"}
    archive = tar_with_headers(tmp_path / "x.tar", content=b"12345678", **headers)
    with pytest.raises(InputError, match="x.tar: truncated or damaged"):
        extract(archive, tmp_path / "out")
    assert files_in(tmp_path) == ["x.tar"]


def test_a_file_with_holes_is_extracted(tmp_path):
    headers = {"GNU_sparse_map": "2,3", "GNU_sparse_size": "8", "GNU_sparse_numblocks": "1"}
    archive = tar_with_headers(tmp_path / "x.tar", content=b"abc", **headers)
    extract(archive, tmp_path / "out")
    assert read(tmp_path / "out") == {"a.jpg": b"\0\0abc\0\0\0"}


@pytest.mark.parametrize("content", [b"9" * 512, b"\xff" * 512, b"3\n" + b"x" * 510, b"1\n-1\n5\n"])
def test_maps_of_garbage(tmp_path, content):
    """Those of version 1.0 stand before the content."""
    headers = {"GNU_sparse_major": "1", "GNU_sparse_minor": "0", "GNU_sparse_realsize": "8"}
    archive = tar_with_headers(tmp_path / "x.tar", content=content, **headers)
    with pytest.raises(InputError, match="x.tar: truncated or damaged"):
        extract(archive, tmp_path / "out")


# ----------------------------------------------------------------------------------------- names


def test_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9/\xff.jpg")
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    extract(tmp_path / "x.tar", tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"x"


def test_a_zip_whose_names_are_no_utf8(tmp_path):
    path = make(tmp_path / "x.zip", {"caf\u00e9.jpg": b"x"})
    content = path.read_bytes().replace("\u00e9".encode(), b"\xff\xfe")
    path.write_bytes(content)
    with pytest.raises(InputError, match="x.zip: truncated or damaged"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize(
    "name",
    [
        ".extracted-x.tar.json/a.jpg",
        ".extracted-x.zip.json/",
        "set/.extracted-x.zip.json/deep/a.jpg",
        ".EXTRACTED-x.zip.json",
    ],
)
def test_no_part_of_a_name_bears_the_stamps(tmp_path, form, name):
    archive = make(tmp_path / f"x.{form}", CONTENT | {name: b""})
    with pytest.raises(InputError, match="nothing was extracted"):
        extract(archive, tmp_path / "out")
    assert files_in(tmp_path) == [archive.name]


def test_a_folder_in_place_of_the_stamp(tmp_path):
    archive = make(tmp_path / "x.tar")
    (tmp_path / "out" / ".extracted-x.tar.json").mkdir(parents=True)
    with pytest.raises(InputError, match="extracted-x.tar.json: no regular file; remove it"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_name_that_is_too_long(tmp_path, form):
    archive = make(tmp_path / f"x.{form}", {"x" * 300 + ".jpg": b"x"})
    with pytest.raises(InputError, match=f"x.{form}: cannot be extracted .*too long"):
        extract(archive, tmp_path / "out")


# ----------------------------------------------------------------------------------------- bombs


@pytest.fixture
def small(monkeypatch):
    """Archives are suspicious from 100 kB on, not only from 1 GB."""
    monkeypatch.setattr(archives, "SMALL", 100_000)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar.xz"])
def test_what_grows_a_thousandfold_is_refused(tmp_path, small, name):
    archive = make(tmp_path / name, {"zeros": bytes(5_000_000)})
    ratio = 5_000_000 / archive.stat().st_size
    assert ratio > 100
    with pytest.raises(InputError) as error:
        extract(archive, tmp_path / "out")
    assert "nothing was extracted. If that is right, raise `limits.unpacked_ratio`" in str(
        error.value
    )
    assert files_in(tmp_path) == [name]

    extract(archive, tmp_path / "out", Limits(unpacked_ratio=ratio + 1))
    assert (tmp_path / "out" / "zeros").stat().st_size == 5_000_000


def test_a_small_one_only_warns(tmp_path, capsys):
    archive = make(tmp_path / "x.zip", {"zeros": bytes(5_000_000)})
    extract(archive, tmp_path / "out")
    assert (
        "times its size, 5000000 bytes; `limits.unpacked_ratio` is 100" in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_the_total_is_limited(tmp_path, name):
    archive = make(tmp_path / name, {f"{i}.jpg": os.urandom(1000) for i in range(10)})
    with pytest.raises(InputError, match="raise `limits.unpacked_bytes` of the data set, now 9999"):
        extract(archive, tmp_path / "out", Limits(unpacked_bytes=9999))
    extract(archive, tmp_path / "out", Limits(unpacked_bytes=10_000))


def test_a_zip_whose_members_share_their_content(tmp_path, small):
    """Many entries of the directory lead to the same compressed bytes."""
    path = make(tmp_path / "x.zip", {f"{i:03}": b"" for i in range(200)})
    kernel = zipfile.ZipFile(make(tmp_path / "one.zip", {"000": bytes(50_000)})).infolist()[0]
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    while entry >= 0:
        sizes = struct.pack("<III", kernel.CRC, kernel.compress_size, kernel.file_size)
        content[entry + 16 : entry + 28] = sizes
        entry = content.find(b"PK\x01\x02", entry + 4)
    path.write_bytes(content)
    with pytest.raises(InputError, match="unpacks to more than"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("opener", [gzip.open, lzma.open])
def test_a_header_that_fills_the_memory(tmp_path, kind, opener):
    path = tmp_path / ("x.tar.gz" if opener is gzip.open else "x.tar.xz")
    header = tarfile.TarInfo("header")
    header.type = kind
    header.size = 8 * 10**9
    with opener(path, "wb") as file:
        file.write(tarfile.TarInfo("a.jpg").tobuf() + header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(10_000))
    with pytest.raises(InputError, match="truncated or damaged .*a header of 8"):
        extract(path, tmp_path / "out")


def test_an_end_that_does_not_come(tmp_path, small):
    """Behind the mark of its end, an archive may have any number of zeros."""
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(tarfile.TarInfo("a.jpg").tobuf())
        for _ in range(20):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="unpacks to more than"):
        extract(path, tmp_path / "out", Limits(unpacked_ratio=10))
    assert files_in(tmp_path) == ["x.tar.gz"]
