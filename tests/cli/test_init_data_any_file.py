"""What holds for files of all annotation tools: encodings, labels for nothing; and lists."""

import json
from pathlib import Path

import pytest
from test_init_data_tables import TRUTH, read, write, write_pictures

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question


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
