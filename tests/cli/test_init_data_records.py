"""JSON and Parquet that hold a row a picture, in the forms that programs write them."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet
from test_init_data_tables import NAMES, SETS, TRUTH, read, write, write_pictures

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question

CLASSES = ["bird", "cat", "dog"]
NUMBERS = [[CLASSES.index(label) for label in labels] for labels in SETS]
CLASS_LABEL = {"names": CLASSES, "_type": "ClassLabel"}


@pytest.fixture
def own(tmp_path) -> Path:
    return write_pictures(tmp_path / "own")


def write_parquet(path, columns: dict, features: dict) -> None:
    """As Hugging Face's `datasets` writes it."""
    info = json.dumps({"info": {"features": features}})
    table = pyarrow.table({"file_name": NAMES} | columns)
    parquet.write_table(table.replace_schema_metadata({"huggingface": info}), path)


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": CLASS_LABEL, "_type": "Sequence"},
        {"feature": CLASS_LABEL, "_type": "List"},
        [CLASS_LABEL],
    ],
)
def test_numbers_of_classes_in_lists(own, feature):
    write_parquet(own / "metadata.parquet", {"labels": NUMBERS}, {"labels": feature})
    assert read(own).labels == TRUTH


def test_numbers_of_classes_within_objects(own):
    objects = [{"id": numbers, "category": numbers} for numbers in NUMBERS]
    category = {"feature": CLASS_LABEL, "_type": "List"}
    for feature in (
        {"id": {"feature": {"dtype": "int64", "_type": "Value"}}, "category": category},
        {"feature": {"id": {"_type": "Value"}, "category": CLASS_LABEL}, "_type": "Sequence"},
    ):
        write_parquet(own / "metadata.parquet", {"objects": objects}, {"objects": feature})
        assert read(own).labels == TRUTH


def test_the_name_of_a_class_is_one_label(own):
    """The file says so: elsewhere `cat, wild` is asked about."""
    names = ["dog", "hot dog", "cat, wild", "cat"]
    numbers = [0, 1, 2, 3, 1, 0]
    feature = {"names": names, "_type": "ClassLabel"}
    write_parquet(own / "metadata.parquet", {"label": numbers}, {"label": feature})
    assert list(read(own).labels.values()) == [[names[number]] for number in numbers]

    # Whoever says otherwise is believed, and asked where nobody says anything.
    assert read(own, separator=", ").labels[NAMES[2]] == ["cat", "wild"]
    write_parquet(own / "metadata.parquet", {"label": [names[n] for n in numbers]}, {})
    with pytest.raises(Question, match="is 'cat,wild' one label"):
        read(own)


def test_a_picture_that_nobody_has_labelled_has_no_class(own):
    some = [0, 1, 2, -1, 0, 1]
    write_parquet(own / "metadata.parquet", {"label": some}, {"label": CLASS_LABEL})
    with pytest.raises(InputError, match=r"row 4: column 'label' holds -1, .* 1 of 6 rows"):
        read(own)

    write_parquet(own / "metadata.parquet", {"label": [0, 1, 2, 3, 0, 1]}, {"label": CLASS_LABEL})
    with pytest.raises(InputError, match=r"row 4: .* class 3, and there are 3 classes"):
        read(own)


def test_pictures_within_the_table(own):
    pictures = [{"bytes": (own / name).read_bytes(), "path": name} for name in NAMES]
    columns = {"image": pictures, "label": [0] * len(NAMES)}
    write_parquet(own / "train.parquet", columns, {"label": CLASS_LABEL})
    remedy = f"'image' holds the pictures themselves; `mlrepro unpack {own} --to FOLDER`"
    with pytest.raises(InputError, match=remedy):
        read(own)


def test_json_in_the_forms_of_pandas(own):
    joined = ["|".join(labels) for labels in SETS]
    places = [str(place) for place in range(len(NAMES))]
    by_place = {
        "image": dict(zip(places, NAMES, strict=True)),
        "labels": dict(zip(places, joined, strict=True)),
    }
    split = {"columns": ["image", "labels"], "index": places}
    split["data"] = [list(row) for row in zip(NAMES, joined, strict=True)]
    lists = {"image": NAMES, "labels": SETS}
    records = [{"image": name, "labels": labels} for name, labels in TRUTH.items()]
    for content in (by_place, split, lists, {"version": 1, "data": records}):
        write(own, json.dumps(content), "labels.json")
        assert read(own).labels == TRUTH


def test_json_with_a_key_a_part(own):
    parts = {"train": NAMES[:2], "valid": NAMES[2:4], "test": NAMES[4:]}
    wanted = ["train", "train", "val", "val", "test", "test"]
    write(own, json.dumps(parts), "splits.json")
    with pytest.raises(InputError, match="6 pictures .* no labels"):
        read(own)

    rows = [f"{name},{'|'.join(labels)}" for name, labels in TRUTH.items()]
    table = write(own, "\n".join(["image,labels", *rows]))
    assert read(own).labels == TRUTH
    assert list(read(own).splits.values()) == wanted
    table.unlink()

    # With the labels of each picture.
    of_parts = {
        part: [{"image": name, "labels": TRUTH[name]} for name in names]
        for part, names in parts.items()
    }
    write(own, json.dumps(of_parts), "splits.json")
    assert read(own).labels == TRUTH
    assert list(read(own).splits.values()) == wanted


def test_json_with_the_pictures_of_a_part_below_its_name(own):
    parts = {"train": NAMES[:2], "valid": NAMES[2:4], "test": NAMES[4:]}
    content = {part: {name: TRUTH[name] for name in names} for part, names in parts.items()}
    write(own, json.dumps(content), "labels.json")
    assert read(own).labels == TRUTH
    assert list(read(own).splits.values()) == ["train", "train", "val", "val", "test", "test"]


def test_json_with_the_pictures_below_one_key(own):
    described = {name: {"labels": labels, "width": 6} for name, labels in TRUTH.items()}
    write(own, json.dumps({"version": 1, "annotations": described}), "labels.json")
    assert read(own).labels == TRUTH


def test_lines_of_json_in_a_file_of_another_name(own):
    lines = [json.dumps({"image": name, "labels": labels}) for name, labels in TRUTH.items()]
    write(own, "\n".join(lines), "labels.json")
    assert read(own).labels == TRUTH

    write(own, "\n".join([*lines, '{"image": ']), "labels.json")
    with pytest.raises(InputError, match="labels.json: no valid JSON .Extra data: line 2"):
        read(own)


def test_json_with_a_key_a_label(own):
    """As Food-101 has it, a file a part, with names without suffix."""
    (own / "food").mkdir()
    for name in NAMES:
        (own / name).rename(own / "food" / name)
    for part, names in (("train", NAMES[:4]), ("test", NAMES[4:])):
        by_label = {
            label: [f"food/{name.removesuffix('.jpg')}" for name in names if label in TRUTH[name]]
            for label in CLASSES
        }
        by_label = {label: found for label, found in by_label.items() if found}
        write(own, json.dumps(by_label), f"meta/{part}.json")
    got = read(own)
    assert got.labels == {f"food/{name}": labels for name, labels in TRUTH.items() if labels}
    assert got.splits["food/0.jpg"] == "train" and got.splits["food/5.jpg"] == "test"


def test_json_with_a_key_a_picture(own):
    described = {name: {"labels": labels, "width": 6} for name, labels in TRUTH.items()}
    without_suffix = {name.removesuffix(".jpg"): labels for name, labels in TRUTH.items()}
    for content in (described, without_suffix):
        write(own, json.dumps(content), "labels.json")
        assert read(own).labels == TRUTH


def test_json_with_a_text_a_picture(own):
    texts = {name: ", ".join(labels) for name, labels in TRUTH.items()}
    write(own, json.dumps(texts), "labels.json")
    assert read(own).labels == TRUTH

    write(
        own,
        json.dumps({name: ["red car", "blue car"][at % 2] for at, name in enumerate(NAMES)}),
        "labels.json",
    )
    with pytest.raises(Question, match="is 'red car' one label.*--separator ''"):
        read(own)
    assert read(own, separator="").labels["0.jpg"] == ["red car"]
