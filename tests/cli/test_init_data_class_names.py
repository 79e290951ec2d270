"""Labels that are numbers, and the file beside them that names the numbers."""

import json
from pathlib import Path

import pytest
from picture_files import write_picture
from test_init_data_tables import NAMES, SETS, TRUTH, read, write, write_pictures

from mlrepro_cli.init_data.answers import Question

NUMBERS = {"bird": "0", "cat": "1", "dog": "2"}


@pytest.fixture
def own(tmp_path) -> Path:
    return write_pictures(tmp_path / "own")


@pytest.fixture
def numbered(own):
    rows = [
        f"{name},{' '.join(NUMBERS[label] for label in labels)}"
        for name, labels in zip(NAMES, SETS, strict=True)
    ]
    write(own, "\n".join(["image,attribute_ids", *rows]), "train.csv")
    return own


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.csv", "class_id,class_name\n0,bird\n1,cat\n2,dog\n3,fox\n"),
        ("labels.csv", "attribute_name,attribute_id\nbird,0\ncat,1\ndog,2\n"),
        ("map.json", json.dumps({"0": "bird", "1": "cat", "2": "dog"})),
        ("map.json", json.dumps({"bird": 0, "cat": 1, "dog": 2})),
        ("classes.json", json.dumps(["bird", "cat", "dog"])),
        ("classes.txt", "bird\ncat\ndog\n"),
        ("classes.txt", "0 bird\n1 cat\n2 dog\n"),
        ("classes.txt", "2: dog\n0: bird\n1: cat\n"),
        ("labels.txt", "0,bird\n1,cat\n2,dog\n"),
        # Places365's and WikiArt's.
        ("categories_places.txt", "bird 0\ncat 1\ndog 2\n"),
        ("style_class.txt", "0\tbird\n1\tcat\n2\tdog\n"),
        ("classes.csv", "id,name\n0,bird\n1,cat\n2,dog\n"),
        ("map.csv", "label,description\n0,bird\n1,cat\n2,dog\n"),
    ],
)
def test_one_file_names_the_numbers(numbered, capsys, name, text):
    write(numbered, text, name)
    assert read(numbered).labels == TRUTH
    assert "0 is bird, 1 is cat, 2 is dog" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # As of CUB, from 1, with more classes than the pictures have.
        ("1 cat\n2 dog\n3 fox\n", "cat"),
        # Coins: the number belongs to the name.
        ("1 cent\n2 cent\n5 cent\n", "2 cent"),
    ],
)
def test_numbers_in_a_list_of_classes(own, text, name):
    rows = [f"{picture},{1 + place % 2}" for place, picture in enumerate(NAMES)]
    write(own, "\n".join(["image,label", *rows]))
    write(own, text, "classes.txt")
    assert read(own).labels["0.jpg"] == [name]


def test_numbers_stay_where_nothing_names_all_of_them(numbered, capsys):
    write(numbered, "class_id,class_name\n0,bird\n1,cat\n", "classes.csv")
    assert read(numbered).labels["2.jpg"] == ["1", "2"]
    assert "no file names them; a table beside" in capsys.readouterr().out


def test_two_files_that_name_them_differently(numbered):
    write(numbered, "class_id,class_name\n0,bird\n1,cat\n2,dog\n", "classes.csv")
    write(numbered, "cat\nbird\ndog\n", "classes.txt")
    with pytest.raises(Question, match="name the numbers of labels differently"):
        read(numbered)


def test_a_table_without_a_header_names_no_classes(own):
    lines = [f"{name} {place % 3}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image label", *lines]), "labels.txt")
    assert read(own).labels["1.jpg"] == ["1"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("info.json", {"features": {"label": {"names": ["bird", "cat", "dog"]}}, "splits": {}}),
        ("info.json", {"dataset": {"Classes": {"0": "bird", "1": "cat", "2": "dog"}}}),
    ],
)
def test_names_below_a_key_of_another_file(numbered, name, content):
    write(numbered, json.dumps(content), name)
    assert read(numbered).labels == TRUTH


@pytest.mark.parametrize(
    ("classes", "first"),
    [
        (["bird", "cat", "dog"], "cat"),
        # Too few, twice the same, and numbers in place of names.
        (["bird", "cat"], "1"),
        (["bird", "cat", "cat"], "1"),
        (["2", "0", "1"], "1"),
    ],
)
def test_names_in_the_file_of_the_labels_themselves(own, classes, first):
    rows = [
        {"img_path": name, "gt_label": [int(NUMBERS[label]) for label in labels]}
        for name, labels in TRUTH.items()
    ]
    write(own, json.dumps({"metainfo": {"classes": classes}, "data_list": rows}), "train.json")
    assert read(own).labels["0.jpg"] == [first]


@pytest.mark.parametrize(
    "text",
    ["id,name\n0,bird\n1,cat\n2,dog\n", "path,class_id\nbird.png,0\ncat.png,1\ndog.png,2\n"],
)
def test_a_table_of_other_names(numbered, text):
    """Of anything with an id, and pictures that show what a class looks like."""
    write(numbered, text, "meta.csv")
    assert read(numbered).labels["0.jpg"] == ["1"]


# ---------------------------------------------------------------------------------------- Folders


def in_folders(root: Path, *folders: str) -> Path:
    for folder in folders:
        for number in range(3):
            write_picture(root / folder / f"{number}.jpg")
    return root


def labels_of_folders(root: Path) -> dict[str, list[str]]:
    return {image.split("/")[-2]: labels for image, labels in read(root).labels.items()}


@pytest.mark.parametrize(
    ("folders", "name", "text"),
    [
        (["0", "1", "2"], "classes.txt", "bird\ncat\ndog\n"),
        (["00000", "00001", "00002"], "labels.csv", "ClassId,Name\n0,bird\n1,cat\n2,dog\n"),
        (["1", "2", "10"], "cat_to_name.json", '{"1": "bird", "2": "cat", "10": "dog", "3": "x"}'),
    ],
)
def test_folders_that_are_called_by_numbers(tmp_path, capsys, folders, name, text):
    own = in_folders(tmp_path / "own", *[f"train/{folder}" for folder in folders])
    write(own, text, name)
    labels = labels_of_folders(own)
    assert [labels[folder] for folder in folders] == [["bird"], ["cat"], ["dog"]]
    assert f"{name}: the names of labels, which are numbers" in capsys.readouterr().out


def test_a_list_that_counts_otherwise_than_folders_do(tmp_path, capsys):
    own = in_folders(tmp_path / "own", "1", "2")
    write(own, "bird\ncat\ndog\n", "classes.txt")
    assert labels_of_folders(own) == {"1": ["1"], "2": ["2"]}
    assert (
        "names the labels from 0 on, and folders are called 1 and more" in capsys.readouterr().out
    )
    in_folders(own, "0")
    write(own, '["cat", "bird", "dog"]', "classes.json")
    with pytest.raises(Question, match="name the numbers of labels differently"):
        read(own)


@pytest.mark.parametrize("name", ["LOC_synset_mapping.txt", "words.txt", "map_clsloc.txt"])
def test_folders_that_are_called_by_ids_of_wordnet(tmp_path, capsys, name):
    own = in_folders(tmp_path / "own", "n01440764", "n02012849", "n03126707")
    between = " 1 " if name == "map_clsloc.txt" else " "
    named = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}
    named |= {"n00000001": "of no folder"}
    write(own, "".join(f"{key}{between}{word}\n" for key, word in named.items()), name)
    assert labels_of_folders(own) == {
        "n01440764": ["tench, Tinca tinca"],
        "n02012849": ["crane (n02012849)"],
        "n03126707": ["crane (n03126707)"],
    }
    assert "the names of labels: n01440764 is tench, Tinca tinca" in capsys.readouterr().out
    in_folders(own, "n09999999")
    assert labels_of_folders(own)["n01440764"] == ["n01440764"]
