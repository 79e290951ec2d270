"""Shards: what a WebDataset reader finds in them, the same bytes twice, rows read back, servers, and all that can be wrong."""

import io
import json
import os
import shutil
import tarfile
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from conftest import serving
from test_prepare import _pictures, _settings
from torch.utils.data import DataLoader

from mlrepro.data.images import MIXED, Pictures, shard_batches
from mlrepro.data.prepare import prepare
from mlrepro.data.shards import Shards
from mlrepro.errors import InputError

PICTURES = 20  # 12 of train, 3 of val, 5 of test


def _prepared(folder: Path, **settings):
    """A data set of 20 pictures in shards of 5, in `folder`/set."""
    source = folder / "mine" if (folder / "mine").exists() else _pictures(folder / "mine", PICTURES)
    return prepare(
        _settings(folder=source, hold_out={"fraction": 0.2}, shards={"pictures": 5} | settings),
        folder / "set",
    )


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_webdataset_reads_every_picture_once(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    manifest, folder = _prepared(tmp_path), tmp_path / "set" / "shards"
    assert sorted(_tree(folder)) == [
        "shards.json",
        "test-000000.tar",
        *(f"train-00000{i}.tar" for i in range(3)),
        "val-000000.tar",
    ]
    index = json.loads((folder / "shards.json").read_text())
    assert [one["bytes"] for one in index] == [
        (folder / one["name"]).stat().st_size for one in index
    ]
    for split in ("train", "val", "test"):
        names = sorted(map(str, folder.glob(f"{split}-*.tar")))
        samples = list(webdataset.WebDataset(names, shardshuffle=False).decode())
        assert [int(sample["__key__"]) for sample in samples] == manifest.rows(split).tolist()
        raw = {
            sample["__key__"]: sample for sample in webdataset.WebDataset(names, shardshuffle=False)
        }
        for row, sample in zip(manifest.rows(split), samples, strict=True):
            file = manifest.root / sample["json"]["image"]
            assert (
                sample["json"].keys() == {"image", "labels"}
                and sample["json"]["image"] == manifest.frame["image"][row]
            )
            assert sample["json"]["labels"] == [
                manifest.classes[label] for label in manifest.frame["labels"][row]
            ]
            assert raw[sample["__key__"]][file.suffix[1:]] == file.read_bytes()


def test_same_bytes_after_an_interruption_and_nothing_stale(tmp_path):
    _prepared(tmp_path, pictures=2)
    many = _tree(tmp_path / "set" / "shards")
    manifest = _prepared(tmp_path)
    wanted, folder = _tree(tmp_path / "set" / "shards"), tmp_path / "set" / "shards"
    assert len(wanted) == 6 < len(many) and "train-000005.tar" not in wanted
    (folder / "train-000001.tar").unlink()
    (folder / "train-000002.tar").rename(
        folder / "train-000002.tar.tmp"
    )  # as a killed process leaves it
    (folder / "train-000002.tar.tmp").write_bytes(b"half")
    assert _prepared(tmp_path).summary == manifest.summary and _tree(folder) == wanted
    plain = prepare(
        _settings(folder=tmp_path / "mine", hold_out={"fraction": 0.2}), tmp_path / "plain"
    )
    assert (
        plain.digest == manifest.digest
        and "shards" not in plain.summary
        and not (tmp_path / "plain" / "shards").exists()
    )


def _check_all(manifest) -> Shards:
    shards = Shards(manifest)
    for row, image in enumerate(manifest.frame["image"]):
        assert shards.read(row).read() == (manifest.root / image).read_bytes()
    return shards


def test_rows_are_read_from_where_the_shards_lie(tmp_path, monkeypatch):
    shards = _check_all(_prepared(tmp_path))
    assert sorted(np.bincount(shards.shard)) == [2, 3, 5, 5, 5]
    shutil.copytree(tmp_path / "set" / "shards", tmp_path / "server" / "prefix")
    manifest = _prepared(tmp_path, address=str(tmp_path / "server" / "prefix"))
    shutil.rmtree(tmp_path / "set" / "shards")
    _check_all(manifest)
    with _server(tmp_path / "server", monkeypatch) as server:
        manifest = _prepared(
            tmp_path, address=f"http://127.0.0.1:{server.server_port}/prefix/", kept=40
        )
        shutil.rmtree(tmp_path / "set" / "shards")
        assert len(list(_check_all(manifest).folder.glob("*.tar"))) == 5
        shutil.rmtree(tmp_path / "set" / "fetched")
        limited = Shards(manifest)
        limited.kept = 2
        for _ in range(2):
            for row, image in enumerate(manifest.frame["image"]):
                assert limited.read(row).read() == (manifest.root / image).read_bytes()
                assert 0 < len(list(limited.folder.glob("*.tar"))) <= 2
            for path in limited.folder.glob("*.tar"):
                os.utime(path, (2**32, 2**32))  # of a clock that was ahead
        rows = np.random.default_rng(0).permutation(
            PICTURES
        )  # workers that remove each other's shards
        loader = DataLoader(
            Pictures(manifest, rows, 8, "bilinear", shards=limited), batch_size=3, num_workers=3
        )
        assert np.concatenate([found for _, found in loader]).tolist() == rows.tolist()
    with pytest.raises(
        InputError, match=r"(?s)`shards.address`, http.*could not be fetched.*127.0.0.1"
    ):
        for row in range(PICTURES):  # the server is gone
            limited.read(row)


def _server(folder: Path, monkeypatch):
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

    return serving(Handler, monkeypatch)


def _altered(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (
            "train-000000.tar",
            lambda path: os.truncate(path, path.stat().st_size - 12_000),
            "train-000000.tar: what lies at byte",
        ),
        ("train-000000.tar", lambda path: path.write_bytes(b""), "what lies at byte 512 is not"),
        (
            "train-000000.tar",
            lambda path: _altered(path, 700),
            "delete it, then copy it or run",
        ),  # of a picture
        (
            "train-000000.tar",
            lambda path: shutil.copy(path.with_name("test-000000.tar"), path),
            "what lies at byte .* is not",
        ),
        (
            "train-000000.tar",
            Path.unlink,
            "train-000000.tar .of `shards.address`, shards. could not be fetched",
        ),
        (
            "shards.json",
            lambda path: _altered(path, 50),
            "not the expected shards.json .of `shards.address`",
        ),
        ("shards.json", Path.unlink, "shards.json .of `shards.address`, shards. could not be"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, spoil, message):
    manifest = _prepared(tmp_path)
    spoil(tmp_path / "set" / "shards" / name)
    with pytest.raises(InputError, match=message):
        shards = Shards(manifest)
        for row in manifest.rows("train"):
            shards.read(row)


def test_wrong_shard_on_a_server_is_refused_and_not_kept(tmp_path, monkeypatch):
    _prepared(tmp_path)
    shutil.copytree(tmp_path / "set" / "shards", tmp_path / "server")
    _altered(tmp_path / "server" / "train-000001.tar", 700)
    with _server(tmp_path / "server", monkeypatch) as server:
        manifest = _prepared(tmp_path, address=f"http://127.0.0.1:{server.server_port}")
        shards = Shards(manifest)
        with pytest.raises(
            InputError, match=r"(?s)train-000001.tar .*could not be fetched.*sha256 .*, expected"
        ):
            for row in manifest.rows("train"):
                shards.read(row)
        assert [path.name for path in shards.folder.glob("*.tar")] == ["train-000000.tar"]


def test_members_cannot_write_to_disk(tmp_path, monkeypatch):
    """A shard with another's sha256 can hold what it likes: it is never unpacked, and a link is no picture."""
    manifest = _prepared(tmp_path)
    path, before = tmp_path / "set" / "shards" / "train-000000.tar", set(tmp_path.rglob("*"))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        evil, link = tarfile.TarInfo("../../evil.jpg"), tarfile.TarInfo("000000000.json")
        evil.size, link.type, link.linkname = 3, tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(evil, io.BytesIO(b"abc"))
        tar.addfile(link)
    path.write_bytes(content.getvalue())
    with pytest.raises(InputError, match="what lies at byte 512 is not"):
        Shards(manifest).read(int(manifest.rows("train")[0]))
    assert set(tmp_path.rglob("*")) == before


def test_an_epoch_reads_shard_after_shard():
    shards = np.repeat(np.arange(200), 50)
    shards[-30:] = 0  # not all of one size
    batches = shard_batches(len(shards), 64, 1, 2, shards=shards)
    order = np.concatenate(batches)
    assert len(np.unique(order)) == len(order) == len(shards) // 64 * 64
    np.testing.assert_array_equal(batches, shard_batches(len(shards), 64, 1, 2, shards=shards))
    assert not np.array_equal(
        order, np.concatenate(shard_batches(len(shards), 64, 1, 3, shards=shards))
    )
    first, last = (np.full(200, edge) for edge in (len(order), -1))
    np.minimum.at(first, shards[order], np.arange(len(order)))
    np.maximum.at(last, shards[order], np.arange(len(order)))
    wanted_at_once = [
        ((first <= place) & (place <= last)).sum() for place in range(0, len(order), 64)
    ]
    assert MIXED / 2 < np.median(wanted_at_once) <= max(wanted_at_once) <= MIXED + 1
    assert (
        np.mean([len(np.unique(shards[batch])) for batch in batches]) > MIXED / 2
    )  # and they are mixed
