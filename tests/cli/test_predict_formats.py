"""Predictions as other programs read them: FiftyOne's labels.json, Label Studio's tasks."""

import json
import os
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from PIL import Image
from test_model_folders import CLASSES, write_model
from use_runs import run_here

from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.formats import interface
from mlrepro_cli.predict.model import load_model


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    """Three pictures, one of a name that is no text, and one that cannot be read."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("a.png", "b#ü.png", os.fsdecode(b"c\xff.png"))):
        Image.new("RGB", (8, 8), (80 * place, 20, 200)).save(folder / name)
    (folder / "text.png").write_text("not a picture")
    return folder


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "model")


def expected_answers(model: Path, pictures: Path) -> dict[str, dict]:
    config, network = load_model(model)
    files = sorted(str(path) for path in pictures.iterdir() if path.name != "text.png")
    return {entry["image"]: entry for entry in predict(config, network, files)}


def test_fiftyone(model, pictures, monkeypatch, capsys):
    arguments = ("my pictures", "--format", "fiftyone", "--output", "labels.json")
    assert run_here(monkeypatch, "predict", model, *arguments) == 1
    assert "1 of 4 pictures could not be read" in capsys.readouterr().err

    content = json.loads(Path("labels.json").read_text(encoding="utf-8"))
    assert content["classes"] == CLASSES
    expected = expected_answers(model, pictures)
    assert set(content["labels"]) == set(expected), "absolute paths, which its importer takes"
    assert any(content["labels"].values())
    for path, given in content["labels"].items():
        entry = expected[path]
        assert [item["label"] for item in given] == entry["labels"]
        for item in given:
            assert item["confidence"] == pytest.approx(entry["scores"][item["label"]], abs=1e-4)


def test_label_studio(model, pictures, monkeypatch):
    arguments = ("my pictures", "--format", "label-studio", "--output", "tasks.json")
    assert run_here(monkeypatch, "predict", model, *arguments) == 1
    tasks = json.loads(Path("tasks.json").read_text(encoding="utf-8"))
    expected = expected_answers(model, pictures)
    assert len(tasks) == len(expected) == 3
    for task in tasks:
        start, _, place = task["data"]["image"].partition("?d=")
        assert start == "/data/local-files/"
        entry = expected["/" + unquote(place, errors="surrogateescape")]
        [prediction] = task["predictions"]
        choices = [region["value"]["choices"] for region in prediction["result"]]
        assert choices == ([entry["labels"]] if entry["labels"] else [])
        assert 0.5 <= prediction["score"] <= 1

    # The interface has the names that the predictions speak of.
    view = ElementTree.parse("tasks.interface.xml").getroot()
    [image], [choices] = view.findall("Image"), view.findall("Choices")
    assert (image.get("name"), image.get("value")) == ("image", "$image")
    assert (choices.get("name"), choices.get("toName")) == ("labels", "image")
    assert choices.get("choice") == "multiple"
    assert [choice.get("value") for choice in choices] == CLASSES


def test_without_an_answer_they_are_empty_and_whole(model, pictures, monkeypatch, capfd):
    for form, empty in (("fiftyone", {"classes": CLASSES, "labels": {}}), ("label-studio", [])):
        assert run_here(monkeypatch, "predict", model, "my pictures/text.png", "--format", form)
        assert json.loads(capfd.readouterr().out) == empty
    assert not list(Path().glob("*.xml"))


def test_label_studios_own_check(model, pictures, monkeypatch):
    interfaces = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="label-studio-sdk is not installed"
    )
    arguments = ("my pictures", "--format", "label-studio", "--output", "tasks.json")
    run_here(monkeypatch, "predict", model, *arguments)
    checked = interfaces.LabelInterface(interface(CLASSES))
    for task in json.loads(Path("tasks.json").read_text(encoding="utf-8")):
        for prediction in task["predictions"]:
            assert checked.validate_prediction(prediction, return_errors=True) == []
