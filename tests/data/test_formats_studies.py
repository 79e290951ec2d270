"""The layouts of 001, 002 and 004: JSON lists, MIRFLICKR, COMP5329 (a table with captions) and Open Images."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from mlrepro.data import formats
from mlrepro.data.corruption import hold_out
from mlrepro.data.formats import mirflickr
from mlrepro.data.prepare import download, prepare
from mlrepro.errors import InputError
from mlrepro.settings.data import DataSettings
from mlrepro.settings.pipeline import load_pipeline

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / ".." / "shared" / "data"


def settings(form, **values):
    return TypeAdapter(DataSettings).validate_python({"format": form, "folder": "."} | values)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10), "red").save(path)


def test_every_data_set_of_the_papers_loads_and_has_its_stages(monkeypatch):
    names = set(load_pipeline(ROOT / "data" / "params.yaml").data)
    stages = yaml.safe_load((ROOT / "data" / "dvc.yaml").read_text())["stages"]
    assert {name: set(stage["foreach"]) for name, stage in stages.items()} == {
        "download": names,
        "prepare": names,
    }


# --- lists -----------------------------------------------------------------------------------------------------------


def lists(folder, train, classes=("dog", "cat", "bird"), val=(("v/1.jpg", ["bird"]),)):
    for name, images in (("train", train), ("val", val)):
        (folder / f"{name}.json").write_text(
            json.dumps({"classes": list(classes), "images": list(images)})
        )
    return settings(
        "lists",
        folder=folder,
        splits={"train": "train.json", "test": "val.json"},
        pictures="photos",
    )


def test_lists_count_a_repeated_label_once_and_its_objects_each(tmp_path):
    images = [("a/1.jpg", ["dog", "cat", "dog"]), ("a/2.jpg", []), ("a/3.jpg", ["dog"])]
    described = lists(tmp_path, images)
    for name in ("a/1.jpg", "a/2.jpg", "a/3.jpg", "v/1.jpg"):
        picture(tmp_path / "photos" / name)
    manifest = prepare(described, tmp_path / "set")
    assert manifest.classes == ["bird", "cat", "dog"]
    assert manifest.frame["image"].tolist() == [
        "photos/a/1.jpg",
        "photos/a/2.jpg",
        "photos/a/3.jpg",
        "photos/v/1.jpg",
    ]
    assert manifest.label_matrix().tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    train = manifest.summary["splits"]["train"]
    assert train["labels"] == {"bird": 0, "cat": 1, "dog": 2} and train["instances"] == {
        "bird": 0,
        "cat": 1,
        "dog": 3,
    }
    assert manifest.summary["splits"]["test"]["instances"]["bird"] == 1
    assert "instances" not in manifest.frame


def test_lists_with_numbers_for_labels_are_in_numerical_order(tmp_path):
    frame, classes = formats.read(
        lists(tmp_path, [("1.jpg", [10, 9, 10])], range(11), [("2.jpg", [2])]), tmp_path
    )
    assert classes == [str(number) for number in range(11)]
    assert frame["labels"].tolist() == [[9, 10], [2]] and frame["instances"].tolist() == [
        [10, 9, 10],
        [2],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"classes": ["cat", "dog"], "images": [["1.jpg", ["cat"]], ["2.jpg", ["dgo"]]]},
            r"train.json, picture 2 \(2.jpg\): 'dgo' is not in `classes`; did you mean 'dog'",
        ),
        (
            {"classes": ["cat"], "images": [["1.jpg", ["cat"]]]},
            "train.json: other classes than in the other lists",
        ),
        (
            {"classes": ["bird", "cat", "dog"], "images": [["../1.jpg", []]]},
            "'../1.jpg' is not the name of a picture below '.'",
        ),
        (
            {"classes": ["bird", "cat", "dog"], "images": [[3, []]]},
            "train.json: expected .*fetch the list again",
        ),
        ({"images": []}, r"train.json: expected .*KeyError\('classes'\)"),
    ],
)
def test_lists_that_are_wrong(tmp_path, content, message):
    described = lists(tmp_path, []).model_copy(update={"pictures": "."})
    if content.get("classes") == ["cat", "dog"]:
        lists(tmp_path, [], ["cat", "dog"], [])
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        formats.read(described, tmp_path)


def test_objects_of_voc_annotations(tmp_path):
    main = tmp_path / "VOC" / "ImageSets" / "Main"
    main.mkdir(parents=True)
    for name, part, lines in (
        ("cat", "train", "1 1\n2 -1\n"),
        ("dog", "train", "1 0\n2 1\n"),
        ("cat", "val", "3 1\n"),
        ("dog", "val", "3 -1\n"),
    ):
        (main / f"{name}_{part}.txt").write_text(lines)
    described = settings(
        "voc",
        root="VOC",
        splits={"train": "train", "test": "val"},
        difficult="positive",
        classes=["cat", "dog"],
    )
    assert formats.read(described, tmp_path)[0]["instances"].tolist() == [None, None, []]
    notes = tmp_path / "VOC" / "Annotations"
    notes.mkdir()
    part = "<part><name>head</name></part>"
    (notes / "1.xml").write_text(
        f"<annotation><object><name>dog</name>{part}</object><object><name>cat</name></object>"
        "<object><name>dog</name></object><object><name>cow</name></object></annotation>"
    )
    (notes / "2.xml").write_text("<annotation><object><name>dog</name></object></annotation>")
    assert formats.read(described, tmp_path)[0]["instances"].tolist() == [[1, 0, 1], [1], []]
    (notes / "2.xml").write_text("<annotation>")
    assert formats.read(described, tmp_path)[0]["instances"].tolist() == [[1, 0, 1], None, []]


# --- MIRFLICKR -------------------------------------------------------------------------------------------------------


def test_mirflickr(tmp_path):
    described = settings("mirflickr", folder=tmp_path, pictures=20_000, test_fraction=0.2)
    random = np.random.RandomState(3)
    labels = random.rand(25_000, 14) < 0.05
    assert len(described.classes) == 14
    for column, name in enumerate(described.classes):
        (tmp_path / f"{name}_r1.txt").write_text(
            "".join(f"{number + 1}\r\n" for number in np.flatnonzero(labels[:, column]))
        )
    frame, classes = formats.read(described, tmp_path)
    assert classes == described.classes and frame["split"].value_counts().to_dict() == {
        "train": 16_000,
        "test": 4_000,
    }
    numbers = (
        frame["image"]
        .str.removeprefix("mirflickr/im")
        .str.removesuffix(".jpg")
        .astype(int)
        .to_numpy()
    )
    assert (np.diff(numbers) > 0).all() and numbers[0] >= 1 and numbers[-1] <= 25_000
    assert all(
        np.flatnonzero(labels[number - 1]).tolist() == row
        for number, row in zip(numbers, frame["labels"], strict=True)
    )
    again, _ = formats.read(described, tmp_path)
    other, _ = formats.read(described.model_copy(update={"seed": 1}), tmp_path)
    assert again.equals(frame) and 0 < len(set(other["image"]) - set(frame["image"])) < 5_000

    for content, line in (("7\nx\n", 2), ("25001\n", 1), ("3\n0\n", 2), ("3\n\n4\n", 2)):
        (tmp_path / "sea_r1.txt").write_text(content)
        with pytest.raises(
            InputError, match=f"sea_r1.txt, line {line}: .* is no picture from 1 to 25000"
        ):
            formats.read(described, tmp_path)
    (tmp_path / "sea_r1.txt").unlink()
    with pytest.raises(InputError, match="sea_r1.txt: no such file; mend `annotations`"):
        formats.read(described, tmp_path)


def test_mirflickr_from_its_archives(tmp_path, monkeypatch):
    monkeypatch.setattr(mirflickr, "TOTAL", 10)
    for number in range(1, 11):
        picture(tmp_path / "mirflickr" / f"im{number}.jpg")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "sea_r1.txt").write_text("2\n5\n9\n")
    manifest = prepare(
        settings(
            "mirflickr",
            folder=tmp_path,
            annotations="notes",
            classes=["sea"],
            pictures=8,
            test_fraction=0.25,
            hold_out={"fraction": 0.5},
        ),
        tmp_path / "set",
    )
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [3, 3, 2]
    sea = {f"mirflickr/im{number}.jpg" for number in (2, 5, 9)}
    assert manifest.label_matrix()[:, 0].tolist() == [
        int(image in sea) for image in manifest.frame["image"]
    ]


# --- COMP5329 --------------------------------------------------------------------------------------------------------

LONG = "word " * 20_000
ROWS = [
    "0.jpg,1,A plain caption",
    '1.jpg,1 19,"A sign ""stop"", with a comma"',
    '2.jpg,8 3 13,"A sign that reads for rent""."""',
    "3.jpg,2,",
    '4.jpg,18,"Two\nlines and\r\nmore\rof them"',
    f"5.jpg,4 1,{LONG}",
    "6.jpg,19,café",
    "7.jpg,19,x",
]
CAPTIONS = [
    ["A plain caption"],
    ['A sign "stop", with a comma'],
    ['A sign that reads for rent"."'],
    [],
    ["Two\nlines and\r\nmore\rof them"],
    [LONG.strip()],
    ["café"],
    ["x"],
]


def course(place, rows=ROWS, unlabelled=("8.jpg,A dog", '9.jpg,"Cat, and dog"'), **values):
    """The settings of data/params.yaml, on a small folder."""
    place.mkdir(exist_ok=True)
    (place / "train.csv").write_bytes("\r\n".join(["ImageID,Labels,Caption", *rows]).encode())
    (place / "test.csv").write_text("\n".join(["ImageID,Caption", *unlabelled]) + "\n")
    official = yaml.safe_load((ROOT / "data" / "params.yaml").read_text())["data"]["comp5329"]
    changed = {
        "folder": place,
        "archives": [],
        "pictures": None,
        "test_fraction": 0.25,
        "hold_out": None,
    }
    return TypeAdapter(DataSettings).validate_python(official | changed | values)


def test_comp5329_captions_of_every_kind(tmp_path, capsys):
    frame, classes = formats.read(course(tmp_path), tmp_path)
    assert classes == [str(number) for number in range(1, 20) if number != 12]
    assert frame["image"].tolist() == [f"{number}.jpg" for number in range(10)]
    assert frame["captions"].tolist() == [*CAPTIONS, ["A dog"], ["Cat, and dog"]]
    assert [[classes[label] for label in row] for row in frame["labels"][:3]] == [
        ["1"],
        ["1", "19"],
        ["3", "8", "13"],
    ]
    _, test = hold_out(8, 0.25, 1200)
    assert np.flatnonzero(frame["split"] == "test").tolist() == test.tolist()
    assert frame["split"].value_counts().to_dict() == {"train": 6, "test": 2, "unlabelled": 2}
    assert capsys.readouterr().out == "train.csv: 1 of 10 rows have no caption and stay\n"


def test_comp5329_pictures_and_rows_without_labels(tmp_path):
    described = course(tmp_path / "in", pictures="data", rejected_limit=0.1)
    for number in set(range(10)) - {1}:
        picture(tmp_path / "in" / "data" / f"{number}.jpg")
    manifest = prepare(described, tmp_path / "set")
    assert [(entry["image"], entry["reason"]) for entry in manifest.summary["rejected"]] == [
        ("data/1.jpg", "missing")
    ]
    assert manifest.frame["image"].tolist() == [
        f"data/{number}.jpg" for number in range(10) if number != 1
    ]
    assert (manifest.frame["width"] == 20).all()
    rest, matrix = manifest.rows("unlabelled"), manifest.label_matrix()
    assert (
        rest.tolist() == [7, 8]
        and (matrix[rest] == -1).all()
        and (matrix[:7] >= 0).all()
        and matrix[:7].any(1).all()
    )
    assert manifest.summary["splits"].keys() == {"train", "test"}
    with pytest.raises(
        InputError,
        match=r"photos/0.jpg: missing[^$]*use the captions alone \(`pictures: null`\), or raise",
    ):
        prepare(described.model_copy(update={"pictures": "photos"}), tmp_path / "set")


def test_comp5329_captions_alone_and_fewer_training_rows(tmp_path):
    whole = prepare(course(tmp_path / "in", hold_out={"fraction": 0.17}), tmp_path / "whole")
    assert (whole.frame[["width", "height", "bytes"]] == 0).all(axis=None) and not whole.summary[
        "rejected"
    ]
    fewer = prepare(
        course(tmp_path / "in", hold_out={"fraction": 0.17, "train": 3}), tmp_path / "fewer"
    )
    splits = ("train", "val", "test", "unlabelled")
    assert [len(whole.rows(split)) for split in splits] == [5, 1, 2, 2]
    assert [len(fewer.rows(split)) for split in splits] == [3, 1, 2, 2]
    images = [
        {split: set(manifest.frame.loc[manifest.rows(split), "image"]) for split in splits}
        for manifest in (whole, fewer)
    ]
    assert images[1].pop("train") < images[0].pop("train") and images[0] == images[1]
    with pytest.raises(InputError, match="hold_out.train: 6 of 5 rows cannot be kept"):
        prepare(course(tmp_path / "in", hold_out={"fraction": 0.17, "train": 6}), tmp_path / "set")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("8.jpg,1 12,x", "train.csv, line 4: unknown class '12'"),
        ("8.jpg,20,x", "train.csv, line 4: unknown class '20'"),
        (
            "1.jpg,1,again",
            "train.csv, line 4: 1.jpg is already in .*train.csv, line 3; keep one row a picture",
        ),
        ("9.jpg,1,in both", "test.csv, line 2: 9.jpg is already in .*train.csv, line 4"),
        ("8.jpg,1", "train.csv, line 4: 2 fields where the header has 3"),
        ('8.jpg,1,"a "sign" in it"', "train.csv, line 4: .*with the quotes in it doubled"),
        ("../8.jpg,1,x", "train.csv, line 4: '../8.jpg' is not the name of a picture"),
    ],
)
def test_comp5329_rows_that_are_wrong(tmp_path, row, message):
    described = course(tmp_path, [*ROWS[:2], row], ["9.jpg,x"], test_fraction=0.5)
    with pytest.raises(InputError, match=message):
        formats.read(described, tmp_path)


def test_comp5329_tables_that_are_wrong(tmp_path):
    described = course(tmp_path)
    (tmp_path / "test.csv").write_text("ImageID,Text\n8.jpg,x\n")
    with pytest.raises(InputError, match="test.csv: no column 'Caption'"):
        formats.read(described, tmp_path)
    (tmp_path / "test.csv").unlink()
    with pytest.raises(InputError, match="test.csv: no such file; mend `table` or `unlabelled`"):
        formats.read(described, tmp_path)
    described = described.model_copy(update={"unlabelled": None})
    frame, _ = formats.read(described, tmp_path)
    assert set(frame["split"]) == {"train", "test"} and "negatives" not in frame
    (tmp_path / "train.csv").write_bytes(b"ImageID,Labels,Caption\n1.jpg,1,x\n2.jpg,1,caf\xe9\n")
    with pytest.raises(InputError, match="train.csv, line 3: not UTF-8"):
        formats.read(described, tmp_path)


def test_real_comp5329(tmp_path):
    path = SHARED / "comp5329" / "train.csv"
    if not path.exists():
        pytest.skip("comp5329 is not beside the repository")
    described = course(
        tmp_path / "in", test_fraction=0.1, hold_out={"fraction": 0.1, "train": 1000}
    )
    described = described.model_copy(update={"folder": path.parent.resolve(), "unlabelled": None})
    manifest = prepare(described, tmp_path / "set")
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [1000, 2700, 3000]
    assert (manifest.frame["captions"].map(len) == 1).all() and manifest.label_matrix().any(1).all()
    assert manifest.digest == prepare(described, tmp_path / "again").digest


# --- Open Images -----------------------------------------------------------------------------------------------------


def open_images(
    folder,
    train,
    validation="ImageID,Source,LabelName,Confidence\nee01,verification,/m/b,1\n",
    **values,
):
    (folder / "classes.csv").write_text(
        'LabelName,DisplayName\n/m/a,Apple\n/m/b,"Bat, ball"\n/m/c,Cat\n'
    )
    (folder / "train.csv").write_text("ImageID,Source,LabelName,Confidence\n" + train)
    (folder / "validation.csv").write_text(validation)
    return settings(
        "openimages",
        **{
            "folder": folder,
            "class_names": "classes.csv",
            "unverified": "ignore",
            "picture_url": "http://127.0.0.1",
            "splits": {"train": {"train": "train.csv"}, "test": {"validation": "validation.csv"}},
        }
        | values,
    )


TRAIN = """0f02,verification,/m/c,1
00e1,verification,/m/b,0
00e1,verification,/m/a,1
00e1,crowdsource-verification,/m/b,1
0f02,verification,/m/a,0
0f02,verification,/m/zz,1
aa03,verification,/m/a,0
bb04,verification,/m/zz,1
"""


@pytest.mark.parametrize(
    ("unverified", "train"),
    [("ignore", [[1, 1, -1], [0, -1, 1]]), ("negative", [[1, 1, 0], [0, 0, 1]])],
)
def test_open_images_labels(tmp_path, unverified, train, capsys):
    described = open_images(tmp_path, TRAIN, unverified=unverified)
    for name in ("train/00/00e1", "train/0f/0f02", "validation/ee/ee01"):
        picture(tmp_path / f"{name}.jpg")
    manifest = prepare(described, tmp_path / "set")
    assert manifest.classes == ["Apple", "Bat, ball", "Cat"]
    assert manifest.frame["image"].tolist() == [
        "train/00/00e1.jpg",
        "train/0f/0f02.jpg",
        "validation/ee/ee01.jpg",
    ]
    assert manifest.label_matrix().tolist() == [*train, [-1, 1, -1]]
    assert manifest.summary["splits"]["train"]["ignored"] == sum(row.count(-1) for row in train)
    assert manifest.summary["splits"]["test"]["ignored"] == 2
    assert "train.csv: 1 pictures without a positive label are left out" in capsys.readouterr().out


def test_open_images_validation_pictures_held_out_of_train_ignore_what_nobody_verified(tmp_path):
    described = open_images(tmp_path, TRAIN, unverified="negative", hold_out={"fraction": 0.5})
    for name in ("train/00/00e1", "train/0f/0f02", "validation/ee/ee01"):
        picture(tmp_path / f"{name}.jpg")
    manifest = prepare(described, tmp_path / "set")
    matrix = manifest.label_matrix()
    assert (matrix[manifest.rows("train")] >= 0).all() and (
        matrix[manifest.rows("val")] == -1
    ).any()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            "00e1,machine,/m/a,0.7\n",
            "train.csv: a confidence is neither 0 nor 1; take the table of human-verified labels",
        ),
        (
            "../../x,verification,/m/a,1\n",
            "train.csv: '../../x.jpg' is not the name of a picture below 'train/..'",
        ),
        (
            "00e1,verification,/m/a,high\n",
            "train.csv: not a table of ImageID, LabelName, Confidence",
        ),
    ],
)
def test_open_images_tables_that_are_wrong(tmp_path, train, message):
    with pytest.raises(InputError, match=message):
        formats.read(open_images(tmp_path, train), tmp_path)
    with pytest.raises(InputError, match="classes.csv: no such file; mend `class_names`"):
        (tmp_path / "classes.csv").unlink()
        formats.read(
            settings(
                "openimages",
                folder=tmp_path,
                class_names="classes.csv",
                unverified="ignore",
                picture_url="x",
                splits={"train": {"train": "train.csv"}},
            ),
            tmp_path,
        )


def test_folder_of_open_images_is_used_in_place(tmp_path):
    download(open_images(tmp_path, TRAIN), tmp_path / "set")
    assert json.loads((tmp_path / "set" / "archives.json").read_text()) == {
        "folder": tmp_path.as_posix()
    }
