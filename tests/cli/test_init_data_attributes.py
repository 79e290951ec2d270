"""Attributes of objects, and values of tags, which may be the labels that are meant."""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from test_init_data_tables import NAMES, SETS, TRUTH, read, write, write_pictures

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question


@pytest.fixture
def own(tmp_path) -> Path:
    return write_pictures(tmp_path / "own")


def write_cvat(root: Path, tags_of_picture: list[list[tuple[str, dict]]]) -> None:
    """A tag is its label and its attributes."""
    lines = ["<annotations><version>1.1</version>"]
    for name, tags in zip(NAMES, tags_of_picture, strict=True):
        lines.append(f'<image id="0" name={quoteattr(name)} width="6" height="6">')
        for label, attributes in tags:
            lines.append(f'<tag label="{label}" source="manual">')
            for attribute, value in attributes.items():
                lines.append(f'<attribute name="{attribute}">{value}</attribute>')
            lines.append("</tag>")
        lines.append("</image>")
    write(root, "\n".join([*lines, "</annotations>"]), "annotations.xml")


def test_values_of_an_attribute_as_labels(own):
    write_cvat(own, [[("animal", {"species": label}) for label in labels] for labels in SETS])
    with pytest.raises(Question, match=r"species \(bird, cat, dog\).*--labels-column 'species'"):
        read(own)
    assert read(own, label_columns=("species",)).labels == TRUTH
    assert read(own, label_columns=("label",)).labels["0.jpg"] == ["animal"]
    with pytest.raises(InputError, match="--labels-column specie: .*did you mean 'species'"):
        read(own, label_columns=("specie",))


def test_check_boxes_as_labels(own):
    names = ("bird", "cat", "dog")
    marked = [{name: str(name in labels).lower() for name in names} for labels in SETS]
    write_cvat(own, [[("photo", attributes)] for attributes in marked])
    with pytest.raises(Question, match="--labels-column 'bird' --labels-column 'cat'"):
        read(own)
    assert read(own, label_columns=names).labels == TRUTH


def test_attributes_beside_several_labels_are_named(own, capsys):
    tags = [
        [(label, {"colour": "red" if place else "blue", "occluded": "true"}) for label in labels]
        for place, labels in enumerate(SETS)
    ]
    write_cvat(own, tags)
    assert read(own).labels == TRUTH
    assert "not read of objects: colour (blue, red); where" in capsys.readouterr().out


def test_attributes_of_datumaro(own):
    items = [
        {
            "id": name.removesuffix(".jpg"),
            "media": {"path": name},
            "annotations": [
                {"type": "label", "label_id": 0, "attributes": {"kind": label, "occluded": False}}
                for label in labels
            ],
        }
        for name, labels in TRUTH.items()
    ]
    content = {"categories": {"label": {"labels": [{"name": "animal"}]}}, "items": items}
    write(own, json.dumps(content), "annotations/default.json")
    with pytest.raises(Question, match="--labels-column 'kind'"):
        read(own)
    assert read(own, label_columns=("kind",)).labels == TRUTH


def test_values_of_supervisely_s_tags(own):
    for name, labels in TRUTH.items():
        tags = [{"name": "animal", "value": label} for label in labels]
        tags.append({"name": "blurry", "value": None})
        size = {"height": 6, "width": 6}
        content = {"description": "", "tags": tags, "size": size, "objects": []}
        write(own, json.dumps(content), f"ann/{name}.json")
    # The project's own list of tags is no table.
    write(own, json.dumps({"classes": [], "tags": [{"name": "animal"}]}), "meta.json")
    with pytest.raises(Question, match="--labels-column 'animal'"):
        read(own)
    assert read(own, label_columns=("animal",)).labels == TRUTH
