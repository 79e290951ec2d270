"""What holds for files of all annotation tools: encodings, labels for nothing; and lists."""

import json
from pathlib import Path

import pytest
from picture_files import write_picture
from test_init_data_tables import TRUTH, read, write, write_pictures

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.find_labels import find_labels


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with the pictures."""
    return write_pictures(tmp_path / "own")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_in_other_encodings(own, encoding):
    text = json.dumps({name: labels for name, labels in TRUTH.items()}, ensure_ascii=False)
    write(own, text.replace("bird", "Vögel"), "labels.json", encoding)
    assert read(own).labels["5.jpg"] == ["Vögel"]


def test_json_in_an_encoding_that_cannot_be_told(own):
    text = json.dumps({name: labels for name, labels in TRUTH.items()}, ensure_ascii=False)
    write(own, text.replace("bird", "Vögel"), "labels.json", "cp1252")
    with pytest.raises(InputError, match="labels.json: not UTF-8.*--encoding cp1252"):
        read(own)
    assert read(own, encoding="cp1252").labels["5.jpg"] == ["Vögel"]


def test_json_lists_that_are_no_labels_are_named(own):
    write(own, json.dumps([[name, labels] for name, labels in TRUTH.items()]), "tags.json")
    with pytest.raises(InputError, match="tags.json: not read, JSON of a kind that is not known"):
        read(own)


def test_a_label_of_a_tool_that_says_that_there_is_none(own):
    named = {name: labels or ["None of the above"] for name, labels in TRUTH.items()}
    write(own, json.dumps(named), "labels.json")
    with pytest.raises(Question, match="--negative 'None of the above'"):
        read(own)
    assert read(own, negative=("None of the above",)).labels == TRUTH


def test_a_label_of_a_tool_that_says_that_nobody_knows(own):
    named = {name: labels or ["unknown"] for name, labels in TRUTH.items()}
    write(own, json.dumps(named), "labels.json")
    with pytest.raises(Question, match="--unknown 'unknown'"):
        read(own)
    got = read(own, unknown=("unknown",))
    assert got.labels == TRUTH
    assert got.unknown["3.jpg"] == ["bird", "cat", "dog"]
    assert got.unknown["2.jpg"] == []


def test_a_list_of_pictures_a_label(own, capsys):
    for label in ("bird", "cat", "dog"):
        names = [f"{name[:-4]}.jpg" for name, labels in TRUTH.items() if label in labels]
        write(own, "\n".join(names), f"lists/{label}.txt")
    write(own, "4.jpg\n5.jpg\n", "lists/test.txt")
    with pytest.raises(
        InputError, match="lists/bird.txt, .* are lists of pictures.*--layout lists"
    ):
        read(own)
    got = read(own, layout="lists")
    assert got.labels == TRUTH
    assert [name for name, split in got.splits.items() if split == "test"] == ["4.jpg", "5.jpg"]
    assert "1 pictures stand in no list: taken as no label" in capsys.readouterr().out
    write_picture(own / "3_mask.png")
    assert read(own, layout="lists").labels == TRUTH


def write_parts(own: Path) -> None:
    write(own, "0.jpg\n1\n2.jpg\n", "meta/train.txt")
    write(own, "3.jpg\n4.jpg\n5.jpg\n", "meta/test_list.txt")


def test_lists_say_the_parts_of_other_files(own, capsys):
    write(own, json.dumps(TRUTH), "labels.json")
    write_parts(own)
    got = read(own)
    assert got.labels == TRUTH
    assert list(got.splits.values()) == ["train"] * 3 + ["test"] * 3
    assert "meta/test_list.txt, meta/train.txt: the parts of 6 pictures" in capsys.readouterr().out
    assert set(read(own, split_column="").splits.values()) == {""}

    # trainval repeats both; any other list does not.
    write(own, "0.jpg\n1.jpg\n", "meta/trainval.txt")
    assert list(read(own).splits.values()) == ["train"] * 3 + ["test"] * 3
    write(own, "0.jpg\n", "meta/val.txt")
    with pytest.raises(Question, match="val.txt: 0.jpg is of val here, and of train in .*train"):
        read(own)


def test_lists_say_the_parts_of_folders_of_labels(tmp_path):
    own = tmp_path / "own"
    names = [f"{label}/{place}.jpg" for label in ("cat", "dog") for place in range(3)]
    for name in names:
        write_picture(own / "images" / name)
    # As Food-101 has them: without suffix, and with the folder of the label.
    write(own, "".join(f"{name[:-4]}\n" for name in names if "0" not in name), "meta/train.txt")
    write(own, "cat/0\ndog/0\n", "meta/test.txt")
    got = read(own)
    assert got.labels["images/cat/1.jpg"] == ["cat"]
    assert [name for name, split in got.splits.items() if split == "test"] == [
        "images/cat/0.jpg",
        "images/dog/0.jpg",
    ]
    assert (own / "meta/test.txt").resolve() in find_labels(own).files


@pytest.mark.parametrize("behind", [" 0", "\tlabels/x.xml", ", 12"])
def test_lists_of_parts_with_a_label_behind_each_picture(tmp_path, behind):
    """As of Caffe and PaddleDetection; labels are those of the folders."""
    own = tmp_path / "own"
    names = [f"{label}/{place} a.jpg" for label in ("cat", "dog") for place in range(3)]
    for name in names:
        write_picture(own / name)
    write(own, "".join(f"{name}{behind}\n" for name in names if "0" not in name), "train.txt")
    write(own, "".join(f"{name}{behind}\n" for name in names if "0" in name), "val_list.txt")
    got = read(own)
    assert got.labels["dog/1 a.jpg"] == ["dog"]
    assert list(got.splits.values()) == ["val", "train", "train"] * 2


def test_folders_say_the_part_of_what_a_file_leaves_open(tmp_path):
    """A competition's train.csv, and its solution, which came later."""
    own = tmp_path / "own"
    for part, file in (("train", "train.csv"), ("test", "solution.csv")):
        for place in range(3):
            write_picture(own / part / f"{part}{place}.jpg")
        rows = [f"{part}{place},{'cat dog bird'.split()[place]}" for place in range(3)]
        write(own, "\n".join(["id,label", *rows]), file)
    splits = read(own).splits
    assert splits == {name: name.partition("/")[0] for name in splits}
    assert len(splits) == 6


def test_a_label_for_pictures_that_wait_for_theirs(own):
    named = {name: labels or ["Not labeled"] for name, labels in TRUTH.items()}
    write(own, json.dumps(named), "labels.json")
    with pytest.raises(Question, match="--unknown 'Not labeled'"):
        read(own)


def test_a_json_of_one_picture_is_no_table(own):
    for name, labels in TRUTH.items():
        found = [{"kind": label, "box": [1, 2, 3, 4]} for label in labels]
        write(own, json.dumps({"file": f"C:\\x\\{name}", "found": found}), f"{name[:-4]}.json")
    with pytest.raises(InputError, match="0.json, .* and 3 more: not read, JSON of a kind"):
        read(own)


def test_many_files_of_no_known_kind_are_told_at_once(own):
    for name in TRUTH:
        write(own, json.dumps({"file": name, "things": {"a": 1}}), f"ann/{name[:-4]}.json")
    with pytest.raises(
        InputError,
        match="ann/0.json, ann/1.json, ann/2.json and 3 more: not read, JSON of a kind",
    ):
        read(own)


def test_a_damaged_file_of_a_picture(own):
    """Its picture would be without labels, and the others train."""
    for name, labels in TRUTH.items():
        shapes = [{"label": label} for label in labels]
        content = {"flags": {}, "shapes": shapes, "imagePath": name}
        write(own, json.dumps(content)[: 20 if name == "3.jpg" else None], f"{name[:-4]}.json")
    with pytest.raises(InputError, match="3.json: no valid JSON"):
        read(own)


@pytest.mark.parametrize("name", ["labels.ods", "labels.sqlite", "data-00000-of-00001.arrow"])
def test_tables_of_other_programs_are_named(own, name):
    write(own, "x", name)
    with pytest.raises(InputError, match=f"{name} is not looked into: (save|write)"):
        read(own)


CREATE_ML = [{"image": name, "annotations": [{"label": "cat"}]} for name in TRUTH]
DATUMARO = {
    "categories": {"label": {"labels": [{"name": "cat"}]}},
    "items": [{"id": name, "annotations": [{"label_id": 0}]} for name in TRUTH],
}


@pytest.mark.parametrize("odd", [None, True, [], {}, ["1.jpg"]])
@pytest.mark.parametrize(
    ("content", "key"),
    [(CREATE_ML, "image"), (DATUMARO["items"], "id")],
    ids=["create-ml", "items"],
)
def test_what_is_no_name_of_a_picture(own, content, key, odd):
    broken = [
        {**entry, key: odd if place == 2 else entry[key]} for place, entry in enumerate(content)
    ]
    write(own, json.dumps(broken if key == "image" else {**DATUMARO, "items": broken}), "a.json")
    with pytest.raises(InputError, match="a.json: cannot be read .* the place of a picture's name"):
        read(own)


def test_columns_that_are_none(own):
    content = {"columns": 5, "data": [["1.jpg", "cat"]]}
    write(own, json.dumps(content), "a.json")
    with pytest.raises(InputError, match="a.json: not read, JSON of a kind that is not known"):
        read(own)


def of_voc(labels: list[str]) -> str:
    objects = "".join(f"<object><name>{label}</name></object>" for label in labels)
    return f"<annotation><filename>x.jpg</filename>{objects}</annotation>"


def of_labelme(labels: list[str]) -> str:
    return json.dumps({"shapes": [{"label": label} for label in labels], "imagePath": "x.jpg"})


@pytest.mark.parametrize(("write_one", "suffix"), [(of_voc, "xml"), (of_labelme, "json")])
def test_older_files_of_the_same_pictures(own, write_one, suffix):
    """Both would be read, and labels that were corrected come back."""
    for name, labels in TRUTH.items():
        for folder in ("new", "old"):
            write(own, write_one(labels), f"{folder}/{name[:-4]}.{suffix}")
    assert read(own).labels == TRUTH

    write(own, write_one(["dog"]), f"old/0.{suffix}")
    with pytest.raises(Question, match=f"new/0.{suffix} and old/0.{suffix} both list 0.jpg, with"):
        read(own)


def test_two_exports_of_cvat_that_differ(own):
    for name, first in (("a.xml", "cat"), ("b.xml", "dog")):
        labels = dict.fromkeys(TRUTH, "cat") | {"0.jpg": first}
        images = "".join(
            f'<image name="{picture}"><tag label="{label}"/></image>'
            for picture, label in labels.items()
        )
        write(own, f"<annotations>{images}</annotations>", name)
    with pytest.raises(Question, match="a.xml and b.xml both list 0.jpg"):
        read(own)


def test_a_picture_with_two_tasks_of_label_studio(own):
    """Who labelled it twice, and differently, is as two annotators who do not agree."""
    tasks = [
        {
            "data": {"image": f"/data/upload/{name}"},
            "annotations": [{"result": [{"from_name": "c", "value": {"choices": [label]}}]}],
        }
        for name, label in [*((name, "cat") for name in TRUTH), ("1.jpg", "dog"), ("2.jpg", "cat")]
    ]
    write(own, json.dumps(tasks), "tasks.json")
    got = read(own)
    assert got.labels["1.jpg"] == []
    assert got.unknown["1.jpg"] == ["cat"]
    assert got.labels["2.jpg"] == ["cat"]
