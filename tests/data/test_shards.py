"""Shards: what a WebDataset reader finds in them, rows read back, servers, and what can be wrong.

And that the same pictures give the same bytes twice.
"""

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

from mlrepro.data.images import Pictures
from mlrepro.data.manifest import Manifest
from mlrepro.data.prepare import prepare
from mlrepro.data.samplers import SHARDS_MIXED, shard_batches
from mlrepro.data.shards import ShardReader
from mlrepro.errors import InputError

PICTURES = 20  # 12 of train, 3 of val, 5 of test


def prepared(folder: Path, **shards) -> Manifest:
    """A data set of 20 pictures in shards of 5, in `folder`/set."""
    source = folder / "mine"
    if not source.exists():
        _pictures(source, PICTURES)
    shards = {"pictures": 5} | shards
    settings = _settings(folder=source, hold_out={"fraction": 0.2}, shards=shards)
    return prepare(settings, folder / "set")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tar_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tar"))


def assert_reads_all(shards: ShardReader, manifest: Manifest) -> None:
    for row, image in enumerate(manifest.frame["image"]):
        assert shards.read(row).read() == (manifest.root / image).read_bytes()


def server_of(folder: Path, monkeypatch):
    """A server of the files in `folder`."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

    return serving(Handler, monkeypatch)


def alter(path: Path, offset: int) -> None:
    """Another bit in the byte at `offset`."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


# --- writing -------------------------------------------------------------------------------------


def test_index_lists_the_shards(tmp_path):
    prepared(tmp_path)
    folder = tmp_path / "set" / "shards"
    assert sorted(contents(folder)) == [
        "shards.json",
        "test-000000.tar",
        "train-000000.tar",
        "train-000001.tar",
        "train-000002.tar",
        "val-000000.tar",
    ]
    for entry in json.loads((folder / "shards.json").read_text()):
        assert entry["bytes"] == (folder / entry["name"]).stat().st_size


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_webdataset_reads_every_picture_once(tmp_path, split):
    webdataset = pytest.importorskip("webdataset")
    manifest = prepared(tmp_path)
    names = [str(path) for path in tar_files(tmp_path / "set" / "shards")]
    names = [name for name in names if Path(name).name.startswith(split)]
    decoded = list(webdataset.WebDataset(names, shardshuffle=False).decode())
    raw = list(webdataset.WebDataset(names, shardshuffle=False))

    rows = manifest.rows(split)
    assert [int(sample["__key__"]) for sample in decoded] == rows.tolist()
    for row, sample, as_it_is in zip(rows, decoded, raw, strict=True):
        facts = sample["json"]
        labels = [manifest.classes[label] for label in manifest.frame["labels"][row]]
        assert facts == {"image": manifest.frame["image"][row], "labels": labels}

        file = manifest.root / facts["image"]
        assert as_it_is["__key__"] == sample["__key__"]
        assert as_it_is[file.suffix[1:]] == file.read_bytes()


def test_same_bytes_after_an_interruption_and_nothing_stale(tmp_path):
    folder = tmp_path / "set" / "shards"
    prepared(tmp_path, pictures=2)
    assert "train-000005.tar" in contents(folder)

    manifest = prepared(tmp_path)
    wanted = contents(folder)
    assert len(wanted) == 6
    assert "train-000005.tar" not in wanted

    # As a killed process leaves it.
    (folder / "train-000001.tar").unlink()
    (folder / "train-000002.tar").unlink()
    (folder / "train-000002.tar.tmp").write_bytes(b"half")
    assert prepared(tmp_path).summary == manifest.summary
    assert contents(folder) == wanted


def test_the_manifest_is_that_of_the_data_set_without_shards(tmp_path):
    manifest = prepared(tmp_path)
    settings = _settings(folder=tmp_path / "mine", hold_out={"fraction": 0.2})
    plain = prepare(settings, tmp_path / "plain")
    assert plain.digest == manifest.digest
    assert "shards" not in plain.summary
    assert not (tmp_path / "plain" / "shards").exists()


# --- reading -------------------------------------------------------------------------------------


def test_rows_are_read_from_where_the_shards_lie(tmp_path):
    manifest = prepared(tmp_path)
    shards = ShardReader(manifest)
    assert_reads_all(shards, manifest)
    assert sorted(np.bincount(shards.shard)) == [2, 3, 5, 5, 5]

    shutil.copytree(tmp_path / "set" / "shards", tmp_path / "copy" / "prefix")
    manifest = prepared(tmp_path, address=str(tmp_path / "copy" / "prefix"))
    shutil.rmtree(tmp_path / "set" / "shards")
    assert_reads_all(ShardReader(manifest), manifest)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A manifest whose shards are on a server alone; `kept` is large enough for all of them."""
    prepared(tmp_path)
    shutil.copytree(tmp_path / "set" / "shards", tmp_path / "server" / "prefix")
    with server_of(tmp_path / "server", monkeypatch) as server:
        address = f"http://127.0.0.1:{server.server_port}/prefix/"
        manifest = prepared(tmp_path, address=address, kept=40)
        shutil.rmtree(tmp_path / "set" / "shards")
        yield manifest


def test_rows_are_read_from_a_server(served):
    shards = ShardReader(served)
    assert_reads_all(shards, served)
    assert len(tar_files(shards.folder)) == 5


def test_of_the_fetched_shards_the_latest_are_kept(served):
    shards = ShardReader(served)
    shards.kept = 2
    for _ in range(2):
        for row, image in enumerate(served.frame["image"]):
            assert shards.read(row).read() == (served.root / image).read_bytes()
            assert 0 < len(tar_files(shards.folder)) <= 2
        for path in tar_files(shards.folder):
            os.utime(path, (2**32, 2**32))  # of a clock that was ahead


def test_workers_may_remove_each_others_shards(served):
    shards = ShardReader(served)
    shards.kept = 2
    rows = np.random.default_rng(0).permutation(PICTURES)
    pictures = Pictures(served, rows, 8, "bilinear", shards=shards)
    loader = DataLoader(pictures, batch_size=3, num_workers=3)
    assert np.concatenate([batch_rows for _, batch_rows in loader]).tolist() == rows.tolist()


def test_a_server_that_is_gone_is_named(tmp_path, monkeypatch):
    prepared(tmp_path)
    shutil.copytree(tmp_path / "set" / "shards", tmp_path / "server")
    with server_of(tmp_path / "server", monkeypatch) as server:
        manifest = prepared(tmp_path, address=f"http://127.0.0.1:{server.server_port}")
        shards = ShardReader(manifest)
    with pytest.raises(
        InputError, match=r"(?s)`shards.address`, http.*could not be fetched.*127.0.0.1"
    ):
        shards.read(0)


# --- what can be wrong ---------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 12_000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def alter_a_picture(path: Path) -> None:
    alter(path, 700)


def replace_by_another(path: Path) -> None:
    shutil.copy(path.with_name("test-000000.tar"), path)


def alter_the_index(path: Path) -> None:
    alter(path, 50)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("train-000000.tar", cut_short, "train-000000.tar: what lies at byte"),
        ("train-000000.tar", empty, "what lies at byte 512 is not"),
        ("train-000000.tar", alter_a_picture, "delete it, then copy it or run"),
        ("train-000000.tar", replace_by_another, "what lies at byte .* is not"),
        (
            "train-000000.tar",
            Path.unlink,
            "train-000000.tar .of `shards.address`, shards. could not be fetched",
        ),
        (
            "shards.json",
            alter_the_index,
            "not the expected shards.json .of `shards.address`",
        ),
        ("shards.json", Path.unlink, "shards.json .of `shards.address`, shards. could not be"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, spoil, message):
    manifest = prepared(tmp_path)
    spoil(tmp_path / "set" / "shards" / name)
    with pytest.raises(InputError, match=message):
        shards = ShardReader(manifest)
        for row in manifest.rows("train"):
            shards.read(row)


def test_wrong_shard_on_a_server_is_refused_and_not_kept(tmp_path, monkeypatch):
    prepared(tmp_path)
    shutil.copytree(tmp_path / "set" / "shards", tmp_path / "server")
    alter(tmp_path / "server" / "train-000001.tar", 700)
    with server_of(tmp_path / "server", monkeypatch) as server:
        manifest = prepared(tmp_path, address=f"http://127.0.0.1:{server.server_port}")
        shards = ShardReader(manifest)
        with pytest.raises(
            InputError, match=r"(?s)train-000001.tar .*could not be fetched.*sha256 .*, expected"
        ):
            for row in manifest.rows("train"):
                shards.read(row)
        assert [path.name for path in tar_files(shards.folder)] == ["train-000000.tar"]


def test_members_cannot_write_to_disk(tmp_path):
    """A shard with another's sha256 can hold what it likes.

    It is never unpacked, and a link is no picture.
    """
    manifest = prepared(tmp_path)
    evil = tarfile.TarInfo("../../evil.jpg")
    evil.size = 3
    link = tarfile.TarInfo("000000000.json")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(evil, io.BytesIO(b"abc"))
        tar.addfile(link)
    (tmp_path / "set" / "shards" / "train-000000.tar").write_bytes(content.getvalue())

    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="what lies at byte 512 is not"):
        ShardReader(manifest).read(int(manifest.rows("train")[0]))
    assert set(tmp_path.rglob("*")) == before


# --- sampling ------------------------------------------------------------------------------------


@pytest.fixture
def shard_of_position() -> np.ndarray:
    """200 shards of 50 pictures, but not all of one size."""
    shards = np.repeat(np.arange(200), 50)
    shards[-30:] = 0
    return shards


def test_an_epoch_of_shards_follows_seed_and_epoch(shard_of_position):
    n = len(shard_of_position)
    batches = shard_batches(n, 64, 1, 2, shards=shard_of_position)
    order = np.concatenate(batches)
    assert len(np.unique(order)) == len(order) == n // 64 * 64
    again = shard_batches(n, 64, 1, 2, shards=shard_of_position)
    np.testing.assert_array_equal(batches, again)
    other_epoch = np.concatenate(shard_batches(n, 64, 1, 3, shards=shard_of_position))
    assert not np.array_equal(order, other_epoch)


def test_an_epoch_reads_shard_after_shard(shard_of_position):
    batches = shard_batches(len(shard_of_position), 64, 1, 2, shards=shard_of_position)
    order = np.concatenate(batches)
    places = np.arange(len(order))
    first = np.full(200, len(order))
    last = np.full(200, -1)
    np.minimum.at(first, shard_of_position[order], places)
    np.maximum.at(last, shard_of_position[order], places)

    # Shards that are being read at the start of each batch.
    wanted_at_once = [((first <= place) & (place <= last)).sum() for place in places[::64]]
    assert SHARDS_MIXED / 2 < np.median(wanted_at_once)
    assert max(wanted_at_once) <= SHARDS_MIXED + 1

    shards_of_batches = [len(np.unique(shard_of_position[batch])) for batch in batches]
    assert np.mean(shards_of_batches) > SHARDS_MIXED / 2  # and they are mixed
