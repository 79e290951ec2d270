"""The readers against the authors' format scripts (tests/golden/spml), real files, and mistakes that users make."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.errors import InputError
from mlrepro.settings.data import VOC_CLASSES, CocoData, CsvData, VocData

SCRIPTS = np.load(Path(__file__).resolve().parents[1] / "golden" / "spml" / "format_scripts.npz")
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def _matrix(frame, classes):
    matrix = np.zeros((len(frame), len(classes)))
    for row, labels in enumerate(frame["labels"]):
        matrix[row, labels] = 1
    return matrix


# --- VOC -------------------------------------------------------------------------------------------------------------


def _voc_settings(difficult="negative", **changes):
    return VocData(
        **{
            "format": "voc",
            "root": "VOC",
            "splits": {"train": "train", "test": "val"},
            "folder": ".",
            "difficult": difficult,
        }
        | changes
    )


@pytest.fixture
def voc(tmp_path):
    lists = tmp_path / "VOC" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for part in ("train", "val"):
        for column, name in enumerate(VOC_CLASSES):
            flags = zip(
                SCRIPTS[f"voc_{part}_ids"], SCRIPTS[f"voc_{part}_raw"][:, column], strict=True
            )
            (lists / f"{name}_{part}.txt").write_text(
                "".join(f"{image} {flag:2d}\n" for image, flag in flags)
            )
    return tmp_path


def test_voc_is_read_as_the_authors_script_does(voc):
    frame, classes = formats.read(_voc_settings(), voc)
    assert classes == VOC_CLASSES
    for part, split in (("train", "train"), ("val", "test")):
        rows = frame[frame["part"] == part]
        assert rows["image"].tolist() == [
            f"VOC/JPEGImages/{name}" for name in SCRIPTS[f"voc_{part}_images"]
        ]
        assert set(rows["split"]) == {split}
        np.testing.assert_array_equal(_matrix(rows, classes), SCRIPTS[f"voc_{part}_labels"])


def test_voc_difficult_rules(voc):
    raw = SCRIPTS["voc_train_raw"][np.argsort(SCRIPTS["voc_train_ids"])]
    expected = [np.flatnonzero(row == 0).tolist() for row in raw]
    assert any(expected)
    for rule, counted in (("negative", raw == 1), ("positive", raw >= 0), ("ignore", raw == 1)):
        frame, classes = formats.read(_voc_settings({"train": rule, "test": "negative"}), voc)
        rows = frame[frame["split"] == "train"]
        np.testing.assert_array_equal(_matrix(rows, classes), counted)
        assert rows["difficult"].tolist() == expected
        assert rows["ignored"].tolist() == (expected if rule == "ignore" else [[]] * len(raw))
        assert not any(frame.loc[frame["split"] == "test", "ignored"])


def test_voc_errors_name_file_line_and_remedy(voc):
    lists = voc / "VOC" / "ImageSets" / "Main"
    with pytest.raises(
        InputError, match=r"dgo_train.txt: no such file; no class 'dgo'; did you mean 'dog'"
    ):
        formats.read(_voc_settings(classes=["cat", "dgo"]), voc)
    with pytest.raises(InputError, match="nothing is listed for the set 'trainval'.*`splits`"):
        formats.read(_voc_settings(splits={"train": "trainval"}), voc)
    with pytest.raises(
        InputError,
        match="more than one split, e.g. VOC/JPEGImages/2007_000032.jpg in train and train",
    ):
        formats.read(_voc_settings(splits={"train": "train", "test": "train"}), voc)
    good = (lists / "dog_train.txt").read_text()
    (lists / "dog_train.txt").write_text(good.replace("2008_000008", "2008_000009"))
    with pytest.raises(
        InputError, match="dog_train.txt: lists other pictures than aeroplane_train.txt"
    ):
        formats.read(_voc_settings(), voc)
    (lists / "dog_train.txt").write_text(good + "2008_000099 2\n")
    with pytest.raises(
        InputError, match="dog_train.txt, line 4: expected .* found '2008_000099 2'"
    ):
        formats.read(_voc_settings(), voc)
    (lists / "aeroplane_train.txt").write_text("")
    with pytest.raises(InputError, match="aeroplane_train.txt: the set 'train' is empty"):
        formats.read(_voc_settings(), voc)


# --- COCO ------------------------------------------------------------------------------------------------------------


def _coco_settings(**changes):
    parts = {
        split: {"images": f"{part}2014", "instances": f"{part}.json"}
        for split, part in (("train", "train"), ("test", "val"))
    }
    return CocoData(
        **{
            "format": "coco",
            "splits": parts,
            "unannotated": "drop",
            "class_order": "category_id",
            "folder": ".",
        }
        | changes
    )


@pytest.fixture
def coco(tmp_path):
    categories = [
        {"id": 1, "name": "person"},
        {"id": 2, "name": "bicycle"},
        {"id": 13, "name": "stop sign"},
        {"id": 90, "name": "toothbrush"},
    ]
    for part in ("train", "val"):
        pairs = SCRIPTS[f"coco_{part}_ann"].tolist()
        ids = sorted({image for image, _ in pairs} | {500})  # 500 has no annotation
        (tmp_path / f"{part}.json").write_text(
            json.dumps(
                {
                    "categories": categories,
                    "images": [
                        {"id": image, "file_name": f"COCO_{part}2014_{image:012d}.jpg"}
                        for image in ids
                    ],
                    # all of one id, as careless converters write them, and all crowds
                    "annotations": [
                        {"id": 1, "image_id": image, "category_id": category, "iscrowd": 1}
                        for image, category in pairs
                    ],
                }
            )
        )
    return tmp_path


def test_coco_is_read_as_the_authors_script_does(coco, capsys):
    frame, classes = formats.read(_coco_settings(), coco)
    assert classes == ["person", "bicycle", "stop sign", "toothbrush"]
    for part in ("train", "val"):
        rows = frame[frame["part"] == f"{part}2014"]
        assert rows["image"].tolist() == SCRIPTS[f"coco_{part}_images"].tolist()
        np.testing.assert_array_equal(_matrix(rows, classes), SCRIPTS[f"coco_{part}_labels"])
    assert capsys.readouterr().out.splitlines() == [
        f"{part}.json: 1 of {n} pictures have no annotation and are left out (unannotated: drop)"
        for part, n in (("train", 6), ("val", 4))
    ]


def test_coco_orders_and_unannotated(coco):
    dropped, _ = formats.read(_coco_settings(), coco)
    frame, classes = formats.read(
        _coco_settings(unannotated="keep", class_order="alphabetical", row_order="id_number"), coco
    )
    assert classes == ["bicycle", "person", "stop sign", "toothbrush"]
    train = frame[frame["split"] == "train"]
    numbers = [int(Path(image).stem[-12:]) for image in train["image"]]
    assert numbers == sorted(numbers) == [9, 25, 30, 100, 500, 581929]
    assert train["labels"].iloc[4] == [] and len(frame) == len(dropped) + 2
    named = {
        image: {classes[label] for label in labels}
        for image, labels in zip(frame["image"], frame["labels"], strict=True)
    }
    assert named["train2014/COCO_train2014_000000000009.jpg"] == {"person", "bicycle"}


def test_coco_errors_name_the_file_and_the_remedy(coco):
    def spoil(change):
        content = json.loads((coco / "val.json").read_text())
        change(content)
        (coco / "train.json").write_text(json.dumps(content))
        with pytest.raises(InputError) as error:
            formats.read(_coco_settings(), coco)
        assert str(coco / "train.json") in str(error.value)
        return str(error.value)

    assert "is of picture 8, which `images` does not list" in spoil(
        lambda it: it["annotations"][0].update(image_id=8)
    )
    assert "has category 7, which `categories` does not" in spoil(
        lambda it: it["annotations"][0].update(category_id=7)
    )
    captions = {"annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}]}
    assert "exchanged?" in spoil(lambda it: (it.pop("categories"), it.update(captions)))
    assert "KeyError('file_name')" in spoil(lambda it: it["images"][0].pop("file_name"))
    assert "no picture is left for the split 'train'" in spoil(lambda it: it.update(annotations=[]))
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
    parts = {
        split: {
            "images": f"{part}2014",
            "instances": f"annotations/instances_{part}2014.json",
            "captions": f"annotations/captions_{part}2014.json",
        }
        for split, part in (("train", "train"), ("test", "val"))
    }
    frame, classes = formats.read(_coco_settings(splits=parts), tmp_path)
    kept, _ = formats.read(_coco_settings(splits=parts, unannotated="keep"), tmp_path)
    assert (
        kept["split"].value_counts().to_dict() == {"train": 143, "test": 446}
        and len(kept) - len(frame) == 5
    )
    assert kept["captions"].map(len).sum() == 2306 and frame["labels"].map(len).min() == 1
    assert classes[0] == "person" and classes[79] == "toothbrush" and len(classes) == 80
    if (SHARED / "labels" / "coco2014_labels.npz").exists():
        with np.load(SHARED / "labels" / "coco2014_labels.npz") as arrays:
            row_of = {image: row for row, image in enumerate(arrays["val_ids"].tolist())}
            full, names = arrays["val"], arrays["classes"].tolist()
        rows = frame[frame["split"] == "test"]
        assert names == classes
        np.testing.assert_array_equal(
            _matrix(rows, classes),
            full[[row_of[int(Path(image).stem[-12:])] for image in rows["image"]]],
        )


# --- tables ----------------------------------------------------------------------------------------------------------


def _csv(folder, text, encoding="utf-8", **settings):
    (folder / "table.csv").write_bytes(text.encode(encoding))
    return formats.read(
        CsvData(**{"format": "csv", "table": "table.csv", "folder": "."} | settings), folder
    )


def test_table_with_quotes_newlines_and_byte_order_mark(tmp_path):
    text = (
        'image,labels,split,caption\r\n./a.jpg,cat dog,Train,"a cat, and ""the"" dog\r\non two lines"\r\n'
        'sub/é.jpg,,validation,\r\n"b,c.jpg",dog dog,test,plain\r\n'
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


@pytest.mark.parametrize(
    "text, settings, message",
    [
        (
            "image,label,split\na.jpg,x,train\n",
            {},
            "no column 'labels'.*`labels_column`; did you mean 'label'",
        ),
        (
            "image,labels,split\na.jpg,x,train\nb.jpg,y,train,\n",
            {},
            "line 3: 4 fields where the header has 3",
        ),
        (
            'image,labels,split\na.jpg,x,train\n"b"c.jpg,x,train\n',
            {},
            "line 3: .*with the quotes in it doubled",
        ),
        (
            "image,labels,split\na.jpg,x,train\nb.jpg,x,trian\n",
            {},
            "line 3: 'trian' is not a split; did you mean 'train'",
        ),
        (
            "image,labels,split\na.jpg,x,train\n./a.jpg,x,test\n",
            {},
            "line 3: a.jpg is already in .*table.csv, line 2",
        ),
        (
            "image,labels,split\na.jpg,cat,train\nb.jpg,cta,test\n",
            {"classes": ["cat", "dog"]},
            "line 3: unknown class 'cta'; did you mean 'cat'",
        ),
        (
            "image,labels,split\n../a.jpg,x,train\n",
            {},
            "line 2: '../a.jpg' is not the name of a picture below",
        ),
        ("image,labels,split\n", {}, "no rows"),
        ("", {}, "no column 'image'"),
        ("image,labels\na.jpg,x\n", {"split_column": None}, "needs `test_fraction`"),
        (
            "image,labels,split\na.jpg,x,train\n",
            {"test_fraction": 0.5},
            "needs `split_column: null`",
        ),
    ],
)
def test_table_errors_name_line_and_remedy(tmp_path, text, settings, message):
    with pytest.raises(InputError, match=message) as error:
        _csv(tmp_path, text, **settings)
    assert "table.csv" in str(error.value)


def test_table_in_another_encoding(tmp_path):
    with pytest.raises(InputError, match="table.csv, line 3: not UTF-8.*save the file as UTF-8"):
        _csv(tmp_path, "image,labels,split\na.jpg,x,train\né.jpg,x,train\n", "latin-1")
    with pytest.raises(InputError, match="other.csv: no such file.*`table`"):
        _csv(tmp_path, "", table="other.csv")


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


def test_real_voc2007_lists(tmp_path):
    archive = SHARED / "labels" / "voc2007_ImageSets_Main.tar.xz"
    if not archive.exists():
        pytest.skip("the VOC2007 label lists are not beside the repository")
    extract(archive, tmp_path / "VOC")
    splits = {"train": "trainval", "test": "test"}
    frame, _ = formats.read(_voc_settings("positive", splits=splits), tmp_path)
    strict, _ = formats.read(_voc_settings("negative", splits=splits), tmp_path)
    assert frame["split"].value_counts().to_dict() == {"train": 5011, "test": 4952}
    # pictures of an aeroplane (class 0) with and without the difficult ones: published counts
    counts = [
        [
            sum(0 in labels for labels in table.loc[table["split"] == split, "labels"])
            for split in ("train", "test")
        ]
        for table in (frame, strict)
    ]
    assert counts == [[240, 205], [238, 204]]
