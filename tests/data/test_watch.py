"""Own pictures that were replaced, moved or deleted since they were last looked at."""

import json
import os

import pytest
from PIL import Image

from mlrepro.data.download import download
from mlrepro.data.manifest import read_manifest
from mlrepro.data.prepare import prepare
from mlrepro.data.watch import SEEN
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.settings.data import CsvData

# Bitmaps, so that all have the same size.
NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture
def own(tmp_path) -> CsvData:
    folder = tmp_path / "own"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / name, "BMP")
    write_labels(folder, "cat")
    return CsvData(
        format="csv", folder=folder, table="labels.csv", watched=True, rejected_limit=0.5
    )


def write_labels(folder, label: str) -> None:
    splits = ["train", "train", "train", "val", "test", "test"]
    rows = [f"{name},{label},{split}\n" for name, split in zip(NAMES, splits, strict=True)]
    (folder / "labels.csv").write_text("image,labels,split\n" + "".join(rows))


def digest(own: CsvData, tmp_path) -> str:
    """Of the manifest that the two stages make."""
    download(own, tmp_path / "data")
    prepare(own, tmp_path / "data")
    return read_manifest(tmp_path / "data").digest


def test_nothing_changed_and_nothing_is_read_again(own, tmp_path, monkeypatch, capsys):
    first = digest(own, tmp_path)
    monkeypatch.setattr("mlrepro.data.watch.file_sha256", lambda path: pytest.fail("it was read"))
    assert digest(own, tmp_path) == first
    assert "6 pictures, as before" in capsys.readouterr().out


def test_a_picture_of_the_same_name_size_and_time(own, tmp_path, capsys):
    first = digest(own, tmp_path)
    replaced = own.folder / NAMES[2]
    before = replaced.stat()
    Image.new("RGB", (8, 8), (80, 0, 9)).save(replaced, "BMP")
    assert replaced.stat().st_size == before.st_size
    os.utime(replaced, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert digest(own, tmp_path) != first
    assert "1 of 6 pictures are others than before: 2.png" in capsys.readouterr().out


def test_a_picture_that_was_only_touched_is_the_same(own, tmp_path, capsys):
    first = digest(own, tmp_path)
    os.utime(own.folder / NAMES[0], (1, 1))
    assert digest(own, tmp_path) == first
    assert "as before" in capsys.readouterr().out


def test_labels_that_were_changed_by_hand(own, tmp_path):
    first = digest(own, tmp_path)
    write_labels(own.folder, "dog")
    assert digest(own, tmp_path) != first


def test_label_files_that_init_data_read_and_that_changed(own, tmp_path, capsys):
    read, gone = tmp_path / "read.csv", tmp_path / "gone.csv"
    read.write_text("image,labels\n")
    settings = own.model_copy(
        update={"label_files": {str(read): file_sha256(read), str(gone): file_sha256(read)}}
    )
    download(settings, tmp_path / "data")
    out = capsys.readouterr().out
    assert f"{gone} is gone since `mlrepro init-data` read it; run that again" in out
    assert "has changed" not in out

    read.write_text("image,labels\n0.png,cat\n")
    download(settings, tmp_path / "data")
    assert f"{read} has changed since `mlrepro init-data` read it" in capsys.readouterr().out


def test_deleted_and_moved_pictures_are_named(own, tmp_path, capsys):
    first = digest(own, tmp_path)
    (own.folder / NAMES[0]).unlink()
    assert digest(own, tmp_path) != first
    assert "1 of 6 pictures are not there: 0.png; put them back, or run" in capsys.readouterr().out

    for name in NAMES[1:]:
        (own.folder / name).rename(tmp_path / name)
    with pytest.raises(InputError, match="none of the 6 pictures is there any more.*moved"):
        download(own, tmp_path / "data")
    own.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no such folder.*mlrepro init-data FOLDER"):
        download(own, tmp_path / "data")


@pytest.mark.parametrize("note", ["", "[]", '{"0.png": 3}', '{"0.png": [1, 2]}'])
def test_a_damaged_note_is_no_note(own, tmp_path, note):
    first = digest(own, tmp_path)
    (tmp_path / "data" / SEEN).write_text(note)
    assert digest(own, tmp_path) == first
    assert set(json.loads((tmp_path / "data" / SEEN).read_text())) == set(NAMES)


def test_data_sets_of_papers_are_not_looked_at(own, tmp_path):
    papers = own.model_copy(update={"watched": False})
    download(papers, tmp_path / "data")
    assert not (tmp_path / "data" / SEEN).exists()
    assert list(json.loads((tmp_path / "data" / "archives.json").read_text())) == ["folder"]
