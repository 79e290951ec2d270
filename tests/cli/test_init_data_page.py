"""The page of init-data: it opens from disk, and shows eight pictures with their labels."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from test_leaks import leaking, photo, to  # noqa: F401 (a fixture)

from mlrepro_cli.init_data.answers import Answers
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.init_data.own_data import OwnData
from mlrepro_cli.init_data.page import example_places

HOSTILE = "<script>alert(1)</script>"


def read_page(folder: Path) -> str:
    [page] = folder.glob("outputs/own-data/*/init-data.html")
    return page.read_text(encoding="utf-8")


def own_data(label_sets: list[set[str]], splits: list[str], unknown=None) -> OwnData:
    classes = sorted(set().union(*label_sets))
    labels = np.array([[name in of_picture for name in classes] for of_picture in label_sets])
    frame = pandas.DataFrame(
        {
            "image": [f"{row}.png" for row in range(len(splits))],
            "split": splits,
            "label": label_sets,
            "unknown": [set()] * len(splits),
        }
    )
    unknown = np.zeros_like(labels) if unknown is None else unknown
    return OwnData(Path(), frame, classes, labels, unknown)


def test_examples_are_of_all_labels_and_splits():
    label_sets = [{"cat"}] * 50 + [{"dog"}] * 40 + [{"owl", "cat"}] * 2 + [{"elk"}] + [set()] * 3
    splits = ["train"] * 60 + ["val"] * 20 + ["test"] * 16
    own = own_data(label_sets, splits)
    shown = example_places(own)

    assert len(set(shown)) == 8
    assert own.labels[shown].any(0).all()
    assert (~own.labels[shown].any(1)).any()
    assert set(own.frame["split"].iloc[shown]) == {"train", "val", "test"}
    assert example_places(own) == shown


def test_a_picture_of_unknown_labels_is_among_them():
    unknown = np.zeros((40, 2), bool)
    unknown[31, 0] = True
    own = own_data([{"cat"}, {"dog"}] * 20, ["train"] * 40, unknown)
    assert 31 in example_places(own)


def test_the_page_holds_its_pictures_and_escapes_labels(tmp_path, to, capsys):  # noqa: F811
    folder = tmp_path / "own"
    for seed in range(20):
        label = (HOSTILE, "dog")[seed % 2]
        file = folder / label.replace("/", "_") / f"{seed}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo(seed).save(file)
    (folder / "dog" / "broken.jpg").write_bytes(b"words")

    init_data(folder, to)
    out = capsys.readouterr().out
    assert str(tmp_path / "outputs/own-data/my-own/init-data.html") in out

    page = read_page(tmp_path)
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "No test pictures are given" in page
    assert "1 file: not a picture" in page and "dog/broken.jpg" in page
    thumbnails = re.findall('src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(thumbnails) == 8
    for thumbnail in thumbnails:
        assert Image.open(io.BytesIO(base64.b64decode(thumbnail))).size == (160, 120)
    # The file itself is one click away, and nothing is fetched.
    assert page.count('href="file:///') == 8 and "http" not in page


def test_the_page_shows_what_leaks(tmp_path, to):  # noqa: F811
    init_data(leaking(tmp_path / "own"), to, answers=Answers(group_column="patient"))
    page = read_page(tmp_path)
    assert page.count("<p>LEAK:") == 4
    assert page.count('<div class="pair">') == 3
    assert "--regroup" in page


@pytest.mark.parametrize("orientation", [1, 6])
def test_thumbnails_are_upright(tmp_path, to, orientation):  # noqa: F811
    exif = Image.Exif()
    exif[0x0112] = orientation
    for seed in range(12):
        file = tmp_path / "own" / ("cat", "dog")[seed % 2] / f"{seed}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo(seed).save(file, exif=exif)
    init_data(tmp_path / "own", to)
    thumbnail = re.search('src="data:image/jpeg;base64,([^"]+)"', read_page(tmp_path))[1]
    size = Image.open(io.BytesIO(base64.b64decode(thumbnail))).size
    assert size == ((160, 120) if orientation == 1 else (120, 160))
