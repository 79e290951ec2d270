"""The layouts of the MIRFLICKR, AAM and captions studies, and Open Images.

JSON lists, MIRFLICKR's label files, COMP5329 (a table with captions), tables of verified labels.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from mlrepro.data import formats
from mlrepro.data.corruption import hold_out
from mlrepro.data.download import download
from mlrepro.data.prepare import prepare
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


def test_every_data_set_of_the_papers_loads_and_has_its_stages():
    names = set(load_pipeline(ROOT / "data" / "params.yaml").data)
    stages = yaml.safe_load((ROOT / "data" / "dvc.yaml").read_text())["stages"]
    assert stages.keys() == {"download", "prepare"}
    assert set(stages["download"]["foreach"]) == names
    assert set(stages["prepare"]["foreach"]) == names


# --- lists ----------------------------------------------------------------------------------------


def lists(folder, train, classes=("dog", "cat", "bird"), val=(("v/1.jpg", ["bird"]),)):
    """Write train.json and val.json; their settings. A picture is (path, [a label an object])."""
    for name, images in (("train", train), ("val", val)):
        content = {"classes": list(classes), "images": list(images)}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return settings(
        "lists",
        folder=folder,
        splits={"train": "train.json", "test": "val.json"},
        pictures="photos",
    )


def test_lists_count_a_repeated_label_once_and_its_objects_each(tmp_path):
    train = [("a/1.jpg", ["dog", "cat", "dog"]), ("a/2.jpg", []), ("a/3.jpg", ["dog"])]
    described = lists(tmp_path, train)
    images = ["photos/a/1.jpg", "photos/a/2.jpg", "photos/a/3.jpg", "photos/v/1.jpg"]
    for image in images:
        picture(tmp_path / image)

    manifest = prepare(described, tmp_path / "set")
    assert manifest.classes == ["bird", "cat", "dog"]
    assert manifest.frame["image"].tolist() == images
    assert manifest.label_matrix().tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert "instances" not in manifest.frame

    splits = manifest.summary["splits"]
    assert splits["train"]["labels"] == {"bird": 0, "cat": 1, "dog": 2}
    assert splits["train"]["instances"] == {"bird": 0, "cat": 1, "dog": 3}
    assert splits["test"]["instances"]["bird"] == 1


def test_lists_with_numbers_for_labels_are_in_numerical_order(tmp_path):
    described = lists(tmp_path, [("1.jpg", [10, 9, 10])], range(11), [("2.jpg", [2])])
    frame, classes = formats.read(described, tmp_path)
    assert classes == [str(number) for number in range(11)]
    assert frame["labels"].tolist() == [[9, 10], [2]]
    assert frame["instances"].tolist() == [[10, 9, 10], [2]]


WRONG_LISTS = [
    (
        {"classes": ["bird", "cat", "dog"], "images": [["1.jpg", ["cat"]], ["2.jpg", ["dgo"]]]},
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
]


@pytest.mark.parametrize(("content", "message"), WRONG_LISTS)
def test_lists_that_are_wrong(tmp_path, content, message):
    described = lists(tmp_path, []).model_copy(update={"pictures": "."})
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        formats.read(described, tmp_path)


def test_a_list_that_is_not_there_or_no_text(tmp_path):
    """Each with its own remedy."""
    described = lists(tmp_path, []).model_copy(update={"pictures": "."})
    (tmp_path / "train.json").write_bytes(b"\xff\n")
    with pytest.raises(InputError, match=r"train.json, line 1: not UTF-8 .*; save the file as"):
        formats.read(described, tmp_path)

    (tmp_path / "train.json").unlink()
    with pytest.raises(InputError, match="train.json: no such file; mend `splits`, or place"):
        formats.read(described, tmp_path)


# --- objects of VOC -------------------------------------------------------------------------------


def annotation(*objects):
    return (
        f"<annotation>{''.join(f'<object>{content}</object>' for content in objects)}</annotation>"
    )


def test_objects_of_voc_annotations(tmp_path):
    class_lists = tmp_path / "VOC" / "ImageSets" / "Main"
    class_lists.mkdir(parents=True)
    (class_lists / "cat_train.txt").write_text("1 1\n2 -1\n")
    (class_lists / "dog_train.txt").write_text("1 0\n2 1\n")
    (class_lists / "cat_val.txt").write_text("3 1\n")
    (class_lists / "dog_val.txt").write_text("3 -1\n")
    described = settings(
        "voc",
        root="VOC",
        splits={"train": "train", "test": "val"},
        difficult="positive",
        classes=["cat", "dog"],
    )

    def objects():
        frame, _ = formats.read(described, tmp_path)
        return frame["instances"].tolist()

    assert objects() == [None, None, []]

    notes = tmp_path / "VOC" / "Annotations"
    notes.mkdir()
    dog_with_head = "<name>dog</name><part><name>head</name></part>"
    cat, dog, cow = "<name>cat</name>", "<name>dog</name>", "<name>cow</name>"
    (notes / "1.xml").write_text(annotation(dog_with_head, cat, dog, cow))
    (notes / "2.xml").write_text(annotation(dog))
    assert objects() == [[1, 0, 1], [1], []]

    (notes / "2.xml").write_text("<annotation>")
    assert objects() == [[1, 0, 1], None, []]


# --- MIRFLICKR ------------------------------------------------------------------------------------


def test_mirflickr(tmp_path):
    described = settings("mirflickr", folder=tmp_path, pictures=20_000, test_fraction=0.2)
    assert len(described.classes) == 14
    labels = np.random.RandomState(3).rand(25_000, 14) < 0.05
    for column, name in enumerate(described.classes):
        numbers = np.flatnonzero(labels[:, column]) + 1
        (tmp_path / f"{name}_r1.txt").write_text("".join(f"{number}\r\n" for number in numbers))

    frame, classes = formats.read(described, tmp_path)
    assert classes == described.classes
    assert frame["split"].value_counts().to_dict() == {"train": 16_000, "test": 4_000}

    stems = frame["image"].str.removeprefix("mirflickr/im").str.removesuffix(".jpg")
    numbers = stems.astype(int).to_numpy()
    assert (np.diff(numbers) > 0).all()
    assert numbers[0] >= 1
    assert numbers[-1] <= 25_000
    for number, row in zip(numbers, frame["labels"], strict=True):
        assert np.flatnonzero(labels[number - 1]).tolist() == row

    again, _ = formats.read(described, tmp_path)
    assert again.equals(frame)
    other, _ = formats.read(described.model_copy(update={"seed": 1}), tmp_path)
    assert 0 < len(set(other["image"]) - set(frame["image"])) < 5_000


def test_mirflickr_files_that_are_wrong(tmp_path):
    described = settings("mirflickr", folder=tmp_path, classes=["sea"])
    path = tmp_path / "sea_r1.txt"
    for content, line in (("7\nx\n", 2), ("25001\n", 1), ("3\n0\n", 2), ("3\n\n4\n", 2)):
        path.write_text(content)
        message = f"sea_r1.txt, line {line}: .* is no picture from 1 to 25000"
        with pytest.raises(InputError, match=message):
            formats.read(described, tmp_path)

    path.unlink()
    with pytest.raises(InputError, match="sea_r1.txt: no such file; mend `annotations`"):
        formats.read(described, tmp_path)


def test_mirflickr_takes_the_first_pictures(tmp_path):
    # 20,007 is of the official archive, and none of the first 20,000.
    (tmp_path / "sea_r1.txt").write_text("1\n20000\n20007\n")
    described = settings("mirflickr", folder=tmp_path, classes=["sea"], first=20_000)

    frame, _ = formats.read(described, tmp_path)
    expected = [f"mirflickr/im{number}.jpg" for number in range(1, 20_001)]
    assert frame["image"].tolist() == expected
    assert np.flatnonzero(frame["labels"].map(len)).tolist() == [0, 19_999]


def test_training_pictures_without_a_label_are_left_out_where_the_settings_say_so(tmp_path, capsys):
    for number in range(1, 21):
        picture(tmp_path / "mirflickr" / f"im{number}.jpg")
    (tmp_path / "sea_r1.txt").write_text("\n".join(map(str, range(1, 21, 2))))
    settings_of_both = {
        "folder": tmp_path,
        "classes": ["sea"],
        "first": 20,
        "pictures": 20,
        "hold_out": {"fraction": 0.25},
    }

    whole = prepare(settings("mirflickr", **settings_of_both), tmp_path / "whole")
    assert "have no label" not in capsys.readouterr().out
    leave_out = settings("mirflickr", **settings_of_both, without_label="leave_out")
    labelled = prepare(leave_out, tmp_path / "labelled")

    def images(manifest, split):
        rows = manifest.rows(split)
        has_label = manifest.label_matrix(rows).any(1)
        return set(manifest.frame["image"].to_numpy()[rows]), has_label

    of_whole, has_label = images(whole, "train")
    of_labelled, kept_have_label = images(labelled, "train")
    assert of_labelled < of_whole
    assert len(of_labelled) == has_label.sum() < len(of_whole)
    assert kept_have_label.all()

    # What is scored stays the same.
    for split in ("val", "test"):
        assert images(labelled, split)[0] == images(whole, split)[0]

    said = f"{(~has_label).sum()} of {len(has_label)} training pictures have no label"
    assert said in capsys.readouterr().out


def test_mirflickr_has_no_more_pictures_than_the_first(tmp_path):
    with pytest.raises(ValueError, match="`pictures: 20000` is more than the first 10"):
        settings("mirflickr", folder=tmp_path, first=10)


def test_mirflickr_from_its_archives(tmp_path):
    for number in range(1, 11):
        picture(tmp_path / "mirflickr" / f"im{number}.jpg")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "sea_r1.txt").write_text("2\n5\n9\n")
    described = settings(
        "mirflickr",
        folder=tmp_path,
        annotations="notes",
        classes=["sea"],
        first=10,
        pictures=8,
        test_fraction=0.25,
        hold_out={"fraction": 0.5},
    )
    manifest = prepare(described, tmp_path / "set")
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [3, 3, 2]

    sea = {f"mirflickr/im{number}.jpg" for number in (2, 5, 9)}
    expected = [int(image in sea) for image in manifest.frame["image"]]
    assert manifest.label_matrix()[:, 0].tolist() == expected


# --- COMP5329 -------------------------------------------------------------------------------------

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
SPLITS = ("train", "val", "test", "unlabelled")


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
    names = [[classes[label] for label in labels] for labels in frame["labels"][:3]]
    assert names == [["1"], ["1", "19"], ["3", "8", "13"]]

    _, test = hold_out(8, 0.25, 1200)
    assert np.flatnonzero(frame["split"] == "test").tolist() == test.tolist()
    assert frame["split"].value_counts().to_dict() == {"train": 6, "test": 2, "unlabelled": 2}
    assert capsys.readouterr().out == "train.csv: 1 of 10 rows have no caption and stay\n"


def test_comp5329_pictures_and_rows_without_labels(tmp_path):
    described = course(tmp_path / "in", pictures="data", rejected_limit=0.1)
    numbers = [number for number in range(10) if number != 1]
    for number in numbers:
        picture(tmp_path / "in" / "data" / f"{number}.jpg")

    manifest = prepare(described, tmp_path / "set")
    [rejected] = manifest.summary["rejected"]
    assert (rejected["image"], rejected["reason"]) == ("data/1.jpg", "missing")
    assert manifest.frame["image"].tolist() == [f"data/{number}.jpg" for number in numbers]
    assert (manifest.frame["width"] == 20).all()

    unlabelled = manifest.rows("unlabelled")
    matrix = manifest.label_matrix()
    assert unlabelled.tolist() == [7, 8]
    assert (matrix[unlabelled] == -1).all()
    assert (matrix[:7] >= 0).all()
    assert matrix[:7].any(axis=1).all()
    assert manifest.summary["splits"].keys() == {"train", "test"}

    elsewhere = described.model_copy(update={"pictures": "photos"})
    message = r"photos/0.jpg: missing[^$]*use the captions alone \(`pictures: null`\), or raise"
    with pytest.raises(InputError, match=message):
        prepare(elsewhere, tmp_path / "set")


def test_comp5329_captions_alone_and_fewer_training_rows(tmp_path):
    place = tmp_path / "in"
    whole = prepare(course(place, hold_out={"fraction": 0.17}), tmp_path / "whole")
    assert (whole.frame[["width", "height", "bytes"]] == 0).all(axis=None)
    assert not whole.summary["rejected"]

    fewer = prepare(course(place, hold_out={"fraction": 0.17, "train": 3}), tmp_path / "fewer")
    assert [len(whole.rows(split)) for split in SPLITS] == [5, 1, 2, 2]
    assert [len(fewer.rows(split)) for split in SPLITS] == [3, 1, 2, 2]

    def images(manifest, split):
        return set(manifest.frame.loc[manifest.rows(split), "image"])

    assert images(fewer, "train") < images(whole, "train")
    for split in ("val", "test", "unlabelled"):
        assert images(fewer, split) == images(whole, split)

    with pytest.raises(InputError, match="hold_out.train: 6 of 5 rows cannot be kept"):
        prepare(course(place, hold_out={"fraction": 0.17, "train": 6}), tmp_path / "set")


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

    labelled = described.model_copy(update={"unlabelled": None})
    frame, _ = formats.read(labelled, tmp_path)
    assert set(frame["split"]) == {"train", "test"}
    assert "negatives" not in frame

    (tmp_path / "train.csv").write_bytes(b"ImageID,Labels,Caption\n1.jpg,1,x\n2.jpg,1,caf\xe9\n")
    with pytest.raises(InputError, match="train.csv, line 3: not UTF-8"):
        formats.read(labelled, tmp_path)


def test_real_comp5329(tmp_path):
    path = SHARED / "comp5329" / "train.csv"
    if not path.exists():
        pytest.skip("comp5329 is not beside the repository")
    held_out = {"fraction": 0.1, "train": 1000}
    described = course(tmp_path / "in", test_fraction=0.1, hold_out=held_out)
    described = described.model_copy(update={"folder": path.parent.resolve(), "unlabelled": None})
    manifest = prepare(described, tmp_path / "set")
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [1000, 2700, 3000]
    assert (manifest.frame["captions"].map(len) == 1).all()
    assert manifest.label_matrix().any(1).all()
    assert manifest.digest == prepare(described, tmp_path / "again").digest


# --- Open Images ----------------------------------------------------------------------------------

HEADER = "ImageID,Source,LabelName,Confidence\n"
# 00e1: b was verified as absent, then as present. /m/zz is none of the classes. aa03 and bb04 have
# no positive of ours.
TRAIN = """0f02,verification,/m/c,1
00e1,verification,/m/b,0
00e1,verification,/m/a,1
00e1,crowdsource-verification,/m/b,1
0f02,verification,/m/a,0
0f02,verification,/m/zz,1
aa03,verification,/m/a,0
bb04,verification,/m/zz,1
"""
VALIDATION = "ee01,verification,/m/b,1\n"
IMAGES = ["train/00/00e1.jpg", "train/0f/0f02.jpg", "validation/ee/ee01.jpg"]


def open_images(folder, train, **changes):
    class_names = 'LabelName,DisplayName\n/m/a,Apple\n/m/b,"Bat, ball"\n/m/c,Cat\n'
    (folder / "classes.csv").write_text(class_names)
    (folder / "train.csv").write_text(HEADER + train)
    (folder / "validation.csv").write_text(HEADER + VALIDATION)
    values = {
        "folder": folder,
        "class_names": "classes.csv",
        "unverified": "ignore",
        "picture_url": "http://127.0.0.1",
        "splits": {"train": {"train": "train.csv"}, "test": {"validation": "validation.csv"}},
    }
    return settings("openimages", **values | changes)


@pytest.mark.parametrize(
    ("unverified", "train"),
    [("ignore", [[1, 1, -1], [0, -1, 1]]), ("negative", [[1, 1, 0], [0, 0, 1]])],
)
def test_open_images_labels(tmp_path, unverified, train, capsys):
    described = open_images(tmp_path, TRAIN, unverified=unverified)
    for image in IMAGES:
        picture(tmp_path / image)

    manifest = prepare(described, tmp_path / "set")
    assert manifest.classes == ["Apple", "Bat, ball", "Cat"]
    assert manifest.frame["image"].tolist() == IMAGES
    assert manifest.label_matrix().tolist() == [*train, [-1, 1, -1]]
    splits = manifest.summary["splits"]
    assert splits["train"]["ignored"] == sum(row.count(-1) for row in train)
    assert splits["test"]["ignored"] == 2
    assert "train.csv: 1 pictures without a positive label are left out" in capsys.readouterr().out


def test_open_images_validation_pictures_held_out_of_train_ignore_what_nobody_verified(tmp_path):
    described = open_images(tmp_path, TRAIN, unverified="negative", hold_out={"fraction": 0.5})
    for image in IMAGES:
        picture(tmp_path / image)
    manifest = prepare(described, tmp_path / "set")
    matrix = manifest.label_matrix()
    assert (matrix[manifest.rows("train")] >= 0).all()
    assert (matrix[manifest.rows("val")] == -1).any()


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


def test_open_images_without_its_class_names(tmp_path):
    described = open_images(tmp_path, TRAIN)
    (tmp_path / "classes.csv").unlink()
    with pytest.raises(InputError, match="classes.csv: no such file; mend `class_names`"):
        formats.read(described, tmp_path)


def test_folder_of_open_images_is_used_in_place(tmp_path):
    download(open_images(tmp_path, TRAIN), tmp_path / "set")
    listed = json.loads((tmp_path / "set" / "archives.json").read_text())
    assert listed == {"folder": tmp_path.as_posix()}
