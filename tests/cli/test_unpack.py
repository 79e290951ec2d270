"""`mlrepro unpack`, and init-data of what it wrote."""

import io
import json

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet
from test_init_data_tables import read
from use_runs import run_here

from mlrepro.errors import InputError
from mlrepro_cli.unpack import unpack as unpack_module
from mlrepro_cli.unpack.unpack import unpack

CLASSES = ["bird", "cat", "dog"]
CLASS_LABEL = {"names": CLASSES, "_type": "ClassLabel"}


def picture(seed: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(256, size=(8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def cell(seed: int, path: str | None = None, kind: str = "PNG") -> dict:
    return {"bytes": picture(seed, kind), "path": path}


def write(path, columns: dict, features: dict | None = None) -> None:
    """As Hugging Face's `datasets` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    if features:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    parquet.write_table(table, path)


def test_a_data_set_of_the_hub_is_read_as_its_pictures(tmp_path, capsys):
    data = tmp_path / "beans" / "data"
    features = {"image": {"_type": "Image"}, "labels": [CLASS_LABEL]}
    first = {"image": [cell(0), cell(1)], "labels": [[0], [1, 2]]}
    second = {"image": [cell(2), cell(3)], "labels": [[], [2]]}
    test = {"image": [cell(4), cell(5)], "labels": [[0, 1], [2]]}
    write(data / "train-00000-of-00002-1a2b.parquet", first, features)
    write(data / "train-00001-of-00002-1a2b.parquet", second, features)
    write(data / "test-00000-of-00001-3c4d.parquet", test, features)

    to = tmp_path / "pictures"
    unpack(tmp_path / "beans", to)
    assert "data/train: 4 pictures" in capsys.readouterr().out
    assert (to / "data" / "train" / "0000002.png").read_bytes() == picture(2)

    found = read(to)
    by_name = {name.rpartition("data/")[2]: labels for name, labels in found.labels.items()}
    assert by_name == {
        "train/0000000.png": ["bird"],
        "train/0000001.png": ["cat", "dog"],
        "train/0000002.png": [],
        "train/0000003.png": ["dog"],
        "test/0000000.png": ["bird", "cat"],
        "test/0000001.png": ["dog"],
    }
    assert {name: split for name, split in found.splits.items() if "test/" in name} == {
        name: "test" for name in found.labels if "test/" in name
    }


def test_the_folders_that_the_hub_converts_to(tmp_path, capsys):
    for split in ("train", "validation", "test"):
        write(tmp_path / "in" / "default" / split / "0000.parquet", {"image": [cell(0)]})
    unpack(tmp_path / "in", tmp_path / "out")
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in files(tmp_path))
    assert written == [
        f"default/{split}/{name}"
        for split in ("test", "train", "validation")
        for name in ("0000000.png", "metadata.parquet")
    ]


def files(folder) -> list:
    return [path for path in (folder / "out").rglob("*") if path.is_file()]


def test_one_file_with_names_of_its_own(tmp_path):
    pictures = [
        cell(0, "C:\\photos\\a.jpeg", "JPEG"),
        cell(1, "../../../etc/A.JPEG"),
        cell(2, "a.png"),
        cell(3, ".hidden.png"),
        cell(4, "notes.txt", "JPEG"),
        cell(5, "x" * 300 + ".png"),
        cell(6, "line\nbreak.png"),
        {"bytes": b"no picture", "path": None},
    ]
    numbers = list(range(len(pictures)))
    write(tmp_path / "in.parquet", {"image": pictures, "label": numbers})
    unpack(tmp_path / "in.parquet", tmp_path / "out")

    names = parquet.read_table(tmp_path / "out" / "in" / "metadata.parquet").to_pydict()
    assert names == {
        "file_name": [
            "a.jpeg",
            "0000001-A.JPEG",  # the same as the first on Windows and macOS
            "a.png",
            "0000003.png",
            "0000004.jpg",
            "0000005.png",
            "0000006.png",
            "0000007.jpg",
        ],
        "label": numbers,
    }
    for number, name in enumerate(names["file_name"][:-1]):
        kind = "JPEG" if number in (0, 4) else "PNG"
        assert (tmp_path / "out" / "in" / name).read_bytes() == picture(number, kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out"]


def test_no_picture_takes_the_name_of_another(tmp_path):
    """Also where pictures are called as those are that have no name, or whose name is taken."""
    paths = ["a.png", "0000002-a.png", "a.png", None, "0000003.png"]
    write(tmp_path / "in.parquet", {"image": [cell(k, path) for k, path in enumerate(paths)]})
    unpack(tmp_path / "in.parquet", tmp_path / "out")

    table = parquet.read_table(tmp_path / "out" / "in" / "metadata.parquet").to_pydict()
    assert len(set(table["file_name"])) == 5
    for number, name in enumerate(table["file_name"]):
        assert (tmp_path / "out" / "in" / name).read_bytes() == picture(number)


def test_plain_bytes_are_pictures_where_they_begin_so(tmp_path):
    columns = {
        "photo": [None, picture(1), picture(2)],
        "digest": [b"\x00\x01", b"\x02", b"\x03"],
        "label": ["cat", "dog", "cat"],
    }
    write(tmp_path / "in.parquet", columns)
    unpack(tmp_path / "in.parquet", tmp_path / "out")
    table = parquet.read_table(tmp_path / "out" / "in" / "metadata.parquet").to_pydict()
    assert table == {
        "file_name": ["0000000.png", "0000001.png"],
        "digest": [b"\x02", b"\x03"],
        "label": ["dog", "cat"],
    }


def test_what_is_left_out_is_said(tmp_path, capsys):
    pictures = [cell(0), None, {"bytes": None, "path": "elsewhere.png"}, cell(3)]
    columns = {"image": pictures, "mask": [cell(9)] * 4, "label": [0, 1, 0, 1]}
    write(tmp_path / "in.parquet", columns)
    with pytest.raises(InputError, match="--image-column 'image' or --image-column 'mask'"):
        unpack(tmp_path / "in.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    unpack(tmp_path / "in.parquet", tmp_path / "out", "image")
    out = capsys.readouterr().out
    assert "in: 2 pictures" in out
    assert "other pictures are left out, those of the columns: mask" in out
    assert "2 rows without a picture left out: in.parquet row 2, in.parquet row 3" in out
    table = parquet.read_table(tmp_path / "out" / "in" / "metadata.parquet").to_pydict()
    assert table == {"file_name": ["0000000.png", "0000001.png"], "label": [0, 1]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PAR1 and no more", "in.parquet: no Parquet .*get it again"),
        ({"label": [1, 2]}, "in.parquet: no column holds pictures; .* as it is"),
        ({"image": [cell(0)], "file_name": ["a.png"]}, "has a column 'file_name' of its own"),
    ],
)
def test_what_cannot_be_unpacked(tmp_path, content, problem):
    if isinstance(content, bytes):
        (tmp_path / "in.parquet").write_bytes(content)
    else:
        write(tmp_path / "in.parquet", content)
    with pytest.raises(InputError, match=problem):
        unpack(tmp_path / "in.parquet", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"], "nothing is half written"


def test_shards_with_other_columns_are_refused(tmp_path):
    write(tmp_path / "in" / "train-00000-of-00002.parquet", {"image": [cell(0)], "label": [0]})
    write(tmp_path / "in" / "train-00001-of-00002.parquet", {"image": [cell(1)], "class": [0]})
    with pytest.raises(InputError, match="00001.*: its columns are others than those of .*00000"):
        unpack(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="'mask' holds no pictures; image does"):
        unpack(tmp_path / "in", tmp_path / "out", "mask")


def test_folders_that_are_none_or_there_already(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        unpack(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no .parquet"):
        unpack(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match="empty: is there already; delete it"):
        unpack(tmp_path / "empty", tmp_path / "empty")


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(unpack_module, "ROWS", 2)
    write(tmp_path / "in.parquet", {"image": [cell(k) for k in range(5)], "label": [0] * 5})
    monkeypatch.chdir(tmp_path)
    assert run_here(monkeypatch, "unpack", "in.parquet", "--to", "out") == 0
    assert capsys.readouterr().out == "in: 5 pictures\nnext: mlrepro init-data out\n"
    assert len(list((tmp_path / "out" / "in").glob("*.png"))) == 5

    # A file that has a number and no name.
    (tmp_path / "in.parquet").rename(tmp_path / "0000.parquet")
    assert run_here(monkeypatch, "unpack", "0000.parquet", "--to", "plain") == 0
    assert capsys.readouterr().out.startswith("plain: 5 pictures\n")
    assert len(list((tmp_path / "plain").glob("*.png"))) == 5
