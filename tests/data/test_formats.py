"""The readers against the authors' format scripts (golden/spml), real files, users' mistakes."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.formats import catalogue
from mlrepro.errors import InputError
from mlrepro.settings.data import VOC_CLASSES, CocoData, CsvData, DataSettings, VocData

SCRIPTS = np.load(Path(__file__).resolve().parents[1] / "golden" / "spml" / "format_scripts.npz")
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def _matrix(frame, classes):
    matrix = np.zeros((len(frame), len(classes)))
    for row, labels in enumerate(frame["labels"]):
        matrix[row, labels] = 1
    return matrix


def test_every_format_of_the_settings_has_a_module():
    union, _ = get_args(DataSettings)
    names = [get_args(kind.model_fields["format"].annotation)[0] for kind in get_args(union)]
    assert sorted(names) == sorted(catalogue.MODULES)
    for kind, name in zip(get_args(union), names, strict=True):
        layout = catalogue.format_of(kind.model_construct(format=name))
        assert isinstance(layout, catalogue.Format)


# --- VOC ------------------------------------------------------------------------------------------


def _voc_settings(difficult="negative", **changes):
    settings = {
        "format": "voc",
        "root": "VOC",
        "splits": {"train": "train", "test": "val"},
        "folder": ".",
        "difficult": difficult,
    }
    return VocData(**settings | changes)


@pytest.fixture
def voc(tmp_path):
    lists = tmp_path / "VOC" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for part in ("train", "val"):
        ids = SCRIPTS[f"voc_{part}_ids"]
        flags = SCRIPTS[f"voc_{part}_raw"]
        for column, name in enumerate(VOC_CLASSES):
            of_class = zip(ids, flags[:, column], strict=True)
            text = "".join(f"{image} {flag:2d}\n" for image, flag in of_class)
            (lists / f"{name}_{part}.txt").write_text(text)
    return tmp_path


def test_voc_is_read_as_the_authors_script_does(voc):
    frame, classes = formats.read(_voc_settings(), voc)
    assert classes == VOC_CLASSES
    for part, split in (("train", "train"), ("val", "test")):
        rows = frame[frame["part"] == part]
        images = [f"VOC/JPEGImages/{name}" for name in SCRIPTS[f"voc_{part}_images"]]
        assert rows["image"].tolist() == images
        assert set(rows["split"]) == {split}
        np.testing.assert_array_equal(_matrix(rows, classes), SCRIPTS[f"voc_{part}_labels"])


def test_voc_difficult_rules(voc):
    raw = SCRIPTS["voc_train_raw"][np.argsort(SCRIPTS["voc_train_ids"])]
    difficult = [np.flatnonzero(row == 0).tolist() for row in raw]
    assert any(difficult)

    for rule, is_positive in (("negative", raw == 1), ("positive", raw >= 0), ("ignore", raw == 1)):
        frame, classes = formats.read(_voc_settings({"train": rule, "test": "negative"}), voc)
        rows = frame[frame["split"] == "train"]
        np.testing.assert_array_equal(_matrix(rows, classes), is_positive)
        assert rows["difficult"].tolist() == difficult
        assert rows["ignored"].tolist() == (difficult if rule == "ignore" else [[]] * len(raw))
        assert not any(frame.loc[frame["split"] == "test", "ignored"])


def test_voc_settings_that_do_not_fit(voc):
    message = r"dgo_train.txt: no such file; no class 'dgo'; did you mean 'dog'"
    with pytest.raises(InputError, match=message):
        formats.read(_voc_settings(classes=["cat", "dgo"]), voc)

    message = "nothing is listed for the set 'trainval'.*`splits`"
    with pytest.raises(InputError, match=message):
        formats.read(_voc_settings(splits={"train": "trainval"}), voc)

    message = "more than one split, e.g. VOC/JPEGImages/2007_000032.jpg in train and train"
    with pytest.raises(InputError, match=message):
        formats.read(_voc_settings(splits={"train": "train", "test": "train"}), voc)

    message = "difficult: says nothing about the split 'test'; give negative, positive or ignore"
    with pytest.raises(InputError, match=message):
        formats.read(_voc_settings({"train": "ignore"}), voc)


def test_voc_errors_name_file_line_and_remedy(voc):
    lists = voc / "VOC" / "ImageSets" / "Main"
    dogs = lists / "dog_train.txt"
    good = dogs.read_text()

    dogs.write_text(good.replace("2008_000008", "2008_000009"))
    message = "dog_train.txt: lists other pictures than aeroplane_train.txt"
    with pytest.raises(InputError, match=message):
        formats.read(_voc_settings(), voc)

    dogs.write_text(good + "2008_000099 2\n")
    message = "dog_train.txt, line 4: expected .* found '2008_000099 2'"
    with pytest.raises(InputError, match=message):
        formats.read(_voc_settings(), voc)

    (lists / "aeroplane_train.txt").write_text("")
    with pytest.raises(InputError, match="aeroplane_train.txt: the set 'train' is empty"):
        formats.read(_voc_settings(), voc)


# --- COCO -----------------------------------------------------------------------------------------


def _coco_settings(**changes):
    settings = {
        "format": "coco",
        "splits": {
            "train": {"images": "train2014", "instances": "train.json"},
            "test": {"images": "val2014", "instances": "val.json"},
        },
        "unannotated": "drop",
        "class_order": "category_id",
        "folder": ".",
    }
    return CocoData(**settings | changes)


@pytest.fixture
def coco(tmp_path):
    categories = [
        {"id": 1, "name": "person"},
        {"id": 2, "name": "bicycle"},
        {"id": 13, "name": "stop sign"},
        {"id": 90, "name": "toothbrush"},
    ]
    for part in ("train", "val"):
        objects = SCRIPTS[f"coco_{part}_ann"].tolist()
        ids = sorted({image for image, _ in objects} | {500})  # 500 has no annotation
        images = [{"id": image, "file_name": f"COCO_{part}2014_{image:012d}.jpg"} for image in ids]
        # All of one id, as careless converters write them, and all crowds.
        annotations = [
            {"id": 1, "image_id": image, "category_id": category, "iscrowd": 1}
            for image, category in objects
        ]
        content = {"categories": categories, "images": images, "annotations": annotations}
        (tmp_path / f"{part}.json").write_text(json.dumps(content))
    return tmp_path


def test_coco_is_read_as_the_authors_script_does(coco, capsys):
    frame, classes = formats.read(_coco_settings(), coco)
    assert classes == ["person", "bicycle", "stop sign", "toothbrush"]
    for part in ("train", "val"):
        rows = frame[frame["part"] == f"{part}2014"]
        assert rows["image"].tolist() == SCRIPTS[f"coco_{part}_images"].tolist()
        np.testing.assert_array_equal(_matrix(rows, classes), SCRIPTS[f"coco_{part}_labels"])

    assert capsys.readouterr().out.splitlines() == [
        "train.json: 1 of 6 pictures have no annotation and are left out (unannotated: drop)",
        "val.json: 1 of 4 pictures have no annotation and are left out (unannotated: drop)",
    ]


def test_coco_orders_and_unannotated(coco):
    dropped, _ = formats.read(_coco_settings(), coco)
    settings = _coco_settings(unannotated="keep", class_order="alphabetical", row_order="id_number")
    frame, classes = formats.read(settings, coco)
    assert classes == ["bicycle", "person", "stop sign", "toothbrush"]
    assert len(frame) == len(dropped) + 2

    train = frame[frame["split"] == "train"]
    numbers = [int(Path(image).stem[-12:]) for image in train["image"]]
    assert numbers == sorted(numbers) == [9, 25, 30, 100, 500, 581929]
    assert train["labels"].iloc[4] == []

    labels_by_image = frame.set_index("image")["labels"]
    labels = labels_by_image["train2014/COCO_train2014_000000000009.jpg"]
    assert {classes[label] for label in labels} == {"person", "bicycle"}


def _exchange_for_captions(content):
    del content["categories"]
    content["annotations"] = [{"id": 1, "image_id": 7, "caption": "a dog"}]


WRONG_COCO_CONTENT = [
    (
        lambda content: content["annotations"][0].update(image_id=8),
        "is of picture 8, which `images` does not list",
    ),
    (
        lambda content: content["annotations"][0].update(category_id=7),
        "has category 7, which `categories` does not",
    ),
    (_exchange_for_captions, "exchanged?"),
    (lambda content: content["images"][0].pop("file_name"), "KeyError('file_name')"),
    (
        lambda content: content.update(annotations=[]),
        "no picture is left for the split 'train'",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "message"),
    WRONG_COCO_CONTENT,
    ids=["other picture", "other category", "captions", "no file name", "no annotations"],
)
def test_coco_content_that_is_wrong(coco, spoil, message):
    content = json.loads((coco / "val.json").read_text())
    spoil(content)
    (coco / "train.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        formats.read(_coco_settings(), coco)
    assert str(coco / "train.json") in str(error.value)
    assert message in str(error.value)


def test_coco_files_that_are_none(coco):
    (coco / "train.json").write_text("{")
    with pytest.raises(InputError, match="train.json: not a COCO annotation file"):
        formats.read(_coco_settings(), coco)
    (coco / "train.json").unlink()
    with pytest.raises(InputError, match="train.json: no such file; mend `splits`"):
        formats.read(_coco_settings(), coco)


def test_real_coco_annotations(tmp_path):
    archive = SHARED / "coco2014-mini" / "annotations_trainval2014.zip"
    if not archive.exists():
        pytest.skip("the COCO sample is not beside the repository")
    extract(archive, tmp_path)
    splits = {
        split: {
            "images": f"{part}2014",
            "instances": f"annotations/instances_{part}2014.json",
            "captions": f"annotations/captions_{part}2014.json",
        }
        for split, part in (("train", "train"), ("test", "val"))
    }
    frame, classes = formats.read(_coco_settings(splits=splits), tmp_path)
    kept, _ = formats.read(_coco_settings(splits=splits, unannotated="keep"), tmp_path)
    assert kept["split"].value_counts().to_dict() == {"train": 143, "test": 446}
    assert len(kept) - len(frame) == 5
    assert kept["captions"].map(len).sum() == 2306
    assert frame["labels"].map(len).min() == 1
    assert classes[0] == "person"
    assert classes[79] == "toothbrush"
    assert len(classes) == 80

    complete = SHARED / "labels" / "coco2014_labels.npz"
    if complete.exists():
        with np.load(complete) as arrays:
            ids = arrays["val_ids"].tolist()
            labels = arrays["val"]
            assert arrays["classes"].tolist() == classes
        row_of = {image: row for row, image in enumerate(ids)}
        rows = frame[frame["split"] == "test"]
        expected = labels[[row_of[int(Path(image).stem[-12:])] for image in rows["image"]]]
        np.testing.assert_array_equal(_matrix(rows, classes), expected)


# --- tables ---------------------------------------------------------------------------------------


def _csv(folder, text, encoding="utf-8", **changes):
    (folder / "table.csv").write_bytes(text.encode(encoding))
    settings = {"format": "csv", "table": "table.csv", "folder": "."}
    return formats.read(CsvData(**settings | changes), folder)


def test_table_with_quotes_newlines_and_byte_order_mark(tmp_path):
    text = (
        "image,labels,split,caption\r\n"
        './a.jpg,cat dog,Train,"a cat, and ""the"" dog\r\non two lines"\r\n'
        "sub/é.jpg,,validation,\r\n"
        '"b,c.jpg",dog dog,test,plain\r\n'
    )
    frame, classes = _csv(tmp_path, text, "utf-8-sig", caption_column="caption", pictures="photos")
    assert classes == ["cat", "dog"]
    assert frame["image"].tolist() == ["photos/a.jpg", "photos/sub/é.jpg", "photos/b,c.jpg"]
    assert frame["labels"].tolist() == [[0, 1], [], [1]]
    assert frame["captions"].tolist() == [['a cat, and "the" dog\r\non two lines'], [], ["plain"]]
    assert frame["split"].tolist() == ["train", "val", "test"]
    assert frame["part"].tolist() == ["Train", "validation", "test"]


def test_table_cut_by_a_seed(tmp_path):
    text = "image,labels\n" + "".join(f"{number}.jpg,{number % 11}\n" for number in range(40))
    frame, classes = _csv(tmp_path, text, split_column=None, test_fraction=0.25)
    assert classes == [str(number) for number in range(11)]  # by number, not 0 1 10 2
    assert frame["split"].value_counts().to_dict() == {"train": 30, "test": 10}
    other, _ = _csv(tmp_path, text, split_column=None, test_fraction=0.25, test_seed=1)
    assert frame["split"].tolist() != other["split"].tolist()


HEADER = "image,labels,split\n"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            "image,label,split\na.jpg,x,train\n",
            {},
            "no column 'labels'.*`labels_column`; did you mean 'label'",
        ),
        (
            HEADER + "a.jpg,x,train\nb.jpg,y,train,\n",
            {},
            "line 3: 4 fields where the header has 3",
        ),
        (
            HEADER + 'a.jpg,x,train\n"b"c.jpg,x,train\n',
            {},
            "line 3: .*with the quotes in it doubled",
        ),
        (
            HEADER + "a.jpg,x,train\nb.jpg,x,trian\n",
            {},
            "line 3: 'trian' is not a split; did you mean 'train'",
        ),
        (
            HEADER + "a.jpg,x,train\n./a.jpg,x,test\n",
            {},
            "line 3: a.jpg is already in .*table.csv, line 2",
        ),
        (
            HEADER + "a.jpg,cat,train\nb.jpg,cta,test\n",
            {"classes": ["cat", "dog"]},
            "line 3: unknown class 'cta'; did you mean 'cat'",
        ),
        (
            HEADER + "../a.jpg,x,train\n",
            {},
            "line 2: '../a.jpg' is not the name of a picture below",
        ),
        (HEADER, {}, "no rows"),
        ("", {}, "no column 'image'"),
        ("image,labels\na.jpg,x\n", {"split_column": None}, "needs `test_fraction`"),
        (HEADER + "a.jpg,x,train\n", {"test_fraction": 0.5}, "needs `split_column: null`"),
    ],
)
def test_table_errors_name_line_and_remedy(tmp_path, text, settings, message):
    with pytest.raises(InputError, match=message) as error:
        _csv(tmp_path, text, **settings)
    assert "table.csv" in str(error.value)


def test_table_in_another_encoding(tmp_path):
    text = HEADER + "a.jpg,x,train\né.jpg,x,train\n"
    with pytest.raises(InputError, match="table.csv, line 3: not UTF-8.*save the file as UTF-8"):
        _csv(tmp_path, text, "latin-1")
    with pytest.raises(InputError, match="other.csv: no such file.*`table`"):
        _csv(tmp_path, "", table="other.csv")


# --- real tables and lists ------------------------------------------------------------------------


def test_real_table_of_the_course():
    if not (SHARED / "comp5329" / "train.csv").exists():
        pytest.skip("the table of comp5329 is not beside the repository")
    settings = CsvData(
        format="csv",
        table="train.csv",
        folder=".",
        image_column="ImageID",
        labels_column="Labels",
        caption_column="Caption",
        split_column=None,
        test_fraction=0.1,
        pictures="data",
    )
    frame, classes = formats.read(settings, SHARED / "comp5329")
    assert frame["split"].value_counts().to_dict() == {"train": 27000, "test": 3000}
    assert classes == [str(number) for number in range(1, 20) if number != 12]
    assert frame["captions"].map(len).eq(1).all()
    by_image = frame.set_index("image")["captions"]
    assert by_image["data/332.jpg"] == ["A man riding a surfboard in the middle of the ocean,"]


def _count_aeroplanes(frame, split):
    return sum(0 in labels for labels in frame.loc[frame["split"] == split, "labels"])


def test_real_voc2007_lists(tmp_path):
    archive = SHARED / "labels" / "voc2007_ImageSets_Main.tar.xz"
    if not archive.exists():
        pytest.skip("the VOC2007 label lists are not beside the repository")
    extract(archive, tmp_path / "VOC")
    splits = {"train": "trainval", "test": "test"}
    with_difficult, _ = formats.read(_voc_settings("positive", splits=splits), tmp_path)
    without, _ = formats.read(_voc_settings("negative", splits=splits), tmp_path)
    assert with_difficult["split"].value_counts().to_dict() == {"train": 5011, "test": 4952}

    # Published counts of aeroplanes (class 0) with and without the difficult ones.
    assert _count_aeroplanes(with_difficult, "train") == 240
    assert _count_aeroplanes(with_difficult, "test") == 205
    assert _count_aeroplanes(without, "train") == 238
    assert _count_aeroplanes(without, "test") == 204
