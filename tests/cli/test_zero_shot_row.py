"""Zero-shot rows of own data: random weights, the real stages, no network."""

import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, skip_without
from picture_files import write_picture
from torch.nn.functional import normalize
from towers import SIZE, TOWER, Towers, make_towers

from mlrepro import extras
from mlrepro.data.images import Pictures, normalise
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.layout import Layout, read_layout
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.models.catalogue import EMBEDDING
from mlrepro.records import Record, read_record
from mlrepro.studies.runs import current_records, read_run
from mlrepro_cli.export.model import create_model
from mlrepro_cli.export.timm_format import write_timm
from mlrepro_cli.export.trained import read_trained
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.plan.plan import time_here

TO = Path("studies/own-data")
SETTINGS = TO / "params.yaml"
RUN = f"linear-zero_shot-{TOWER}{EMBEDDING}-my-own-{SIZE}"
PROMPTS = ["a photo of a {}.", "some {}"]


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A repository as the present folder, and beside it a user's pictures in two folders."""
    repository = tmp_path / "repository"
    (repository / TO).mkdir(parents=True)
    shutil.copytree(ROOT / "stages", repository / "stages")
    budgets = yaml.safe_load((ROOT / TO / "budgets.yaml").read_text())
    budgets["search"] |= {"epochs": 1, "seeds": [0], "learning_rates": [0.01], "penalties": [1]}
    budgets |= {"losses": budgets["losses"][:1], "partial_losses": []}
    (repository / TO / "budgets.yaml").write_text(yaml.safe_dump(budgets))
    monkeypatch.chdir(repository)

    own = tmp_path / "own"
    for number in range(40):
        label = ("street_sign", "TVMonitor")[number % 2]
        write_picture(own / label / f"{number}.png")
    return own


def describe(own: Path, towers: Towers, **changes) -> Layout:
    """params.yaml as `init-data` writes it, with the tiny model in place of one on a hub."""
    init_data(own, TO, resolution=SIZE, backbones=[TOWER])
    settings = yaml.safe_load(SETTINGS.read_text())
    features = {"backbone": TOWER + EMBEDDING, "resolution": SIZE}
    settings["features"] = features | {"weights": str(towers.weights)}
    settings["backbones"] = []
    settings["zero_shot"] = [features | {"text": towers.text, "prompts": PROMPTS} | changes]
    SETTINGS.write_text(yaml.safe_dump(settings))
    return read_layout(SETTINGS)


def run_stages(monkeypatch, *stages: str) -> None:
    for stage in stages:
        arguments = [stage, str(SETTINGS)]
        if stage in ("download", "prepare"):
            arguments.append("my-own")
        monkeypatch.setattr(sys, "argv", arguments)
        runpy.run_path(f"stages/{stage}.py", run_name="__main__")


INPUTS = ("download", "prepare", "corrupt", "code", "extract")


def by_hand(towers: Towers, layout: Layout, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores as open_clip's own example computes them, a label at a time; labels."""
    import open_clip

    manifest = read_manifest(layout.data)
    rows = manifest.rows(split)
    config = towers.model.visual.preprocess_cfg
    tokenizer = open_clip.get_tokenizer(towers.text)
    words = {"street_sign": "street sign", "TVMonitor": "tv monitor"}
    scores = np.empty((len(rows), 2), np.float32)
    pixels = torch.stack([picture for picture, _ in Pictures(manifest, rows, SIZE, "bicubic")])
    with torch.inference_mode():
        batch = normalise(pixels.permute(0, 3, 1, 2), config["mean"], config["std"])
        of_pictures = normalize(towers.model.encode_image(batch))
        for place, label in enumerate(manifest.classes):
            texts = tokenizer([prompt.format(words[label]) for prompt in PROMPTS])
            of_label = normalize(normalize(towers.model.encode_text(texts)).mean(0), dim=0)
            scores[:, place] = towers.model.logit_scale.exp() * of_pictures @ of_label
    return scores, manifest.label_matrix(rows)


def test_a_row_of_the_page_without_training(own, tmp_path, monkeypatch, capsys):
    skip_without("zero-shot")
    towers = make_towers(tmp_path / "towers")
    layout = describe(own, towers)
    run_stages(monkeypatch, *INPUTS, "search", "zero_shot", "review", "report")
    record = read_record(layout.record(RUN, 0))

    # What it scores, and what it may be chosen by.
    for split, measured in {
        "test": record.selected.metrics["mAP"],
        "val": record.history[0].val_mAP,
    }.items():
        scores, labels = by_hand(towers, layout, split)
        expected = mean_average_precision(average_precision(scores, labels), "zero")
        assert measured == pytest.approx(expected, abs=1e-3)
    # Of few training pictures, by these and validation.
    (scores, labels), (val_scores, val_labels) = (
        by_hand(towers, layout, split) for split in ("train", "val")
    )
    together = np.concatenate([scores, val_scores])
    of_both = average_precision(together, np.concatenate([labels, val_labels]))
    choice = record.choices["cross_validation"]
    assert choice.mAP == pytest.approx(mean_average_precision(of_both, "zero"), abs=1e-3)
    assert choice.pictures == 26 + len(val_labels)

    # CLIP has no bias: probabilities add up to as many labels as validation pictures have.
    assert record.history[0].val_positives == pytest.approx(1, abs=1e-4)
    assert record.provenance.pretrained == f"{towers.weights.name} + {towers.text}"
    assert record.cost.gmacs > 0
    out = capsys.readouterr().out
    assert "reads a photo of a tv monitor. a photo of a street sign. (2 labels)" in out

    # A row as the others, and a step from the names to the labels.
    page = layout.page.read_text()
    assert f"| `{RUN}` " in page
    assert page.count("| complete |") == 3
    assert "| labels, not names alone | " in page
    assert (layout.review / "labels.html").is_file()

    # Once made, it stays, also where somebody removes its record.
    layout.record(RUN, 0).unlink()
    run_stages(monkeypatch, "zero_shot")
    assert capsys.readouterr().out == f"{RUN}: as before\n"
    assert read_record(layout.record(RUN, 0)) == record

    check_export(layout)
    check_other_prompts(layout, monkeypatch, record)


def check_export(layout: Layout) -> None:
    """The model that would be exported needs no text tower; its logits are those of the record."""
    run = read_run(layout, RUN)
    model = create_model(read_trained(layout, run, 0, read_manifest(layout.data)))
    assert model.config["checked"]["evaluate"] < 1e-4
    assert model.config["backbone"] == TOWER + EMBEDDING

    # timm has no network that brings its output to one length.
    with pytest.raises(InputError, match="it has none that compares directions"):
        write_timm(model, Path("timm"))


def check_other_prompts(layout: Layout, monkeypatch, record: Record) -> None:
    """Records of other prompts are left out, until the stage has made them anew."""
    settings = yaml.safe_load(SETTINGS.read_text())
    settings["zero_shot"][0]["prompts"] = ["{}"]
    SETTINGS.write_text(yaml.safe_dump(settings))
    layout = read_layout(SETTINGS)
    assert RUN not in current_records(layout)
    run_stages(monkeypatch, "code", "zero_shot")
    [made] = current_records(layout)[RUN]
    assert made.run.loss.prompts == ["{}"]
    assert made.selected.metrics != record.selected.metrics

    # What is no longer named goes.
    settings["zero_shot"] = []
    SETTINGS.write_text(yaml.safe_dump(settings))
    run_stages(monkeypatch, "code", "zero_shot")
    assert os.listdir(layout.zero_shot_outputs) == ["rows.json"]


def test_where_the_model_cannot_be_had(own, tmp_path, monkeypatch, capsys):
    """Said at once; the other stages go on, and the page has the row with its command."""
    weights = tmp_path / "tower.safetensors"
    write_tower(weights)
    towers = Towers(None, "hf-hub:nobody/nothing", weights)
    layout = describe(own, towers)
    run_stages(monkeypatch, *INPUTS, "search")
    capsys.readouterr()

    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    run_stages(monkeypatch, "zero_shot")
    said = capsys.readouterr().out
    assert f"{RUN} is not run: zero-shot scores by hf-hub:nobody/nothing: needs open_clip" in said
    assert "pip install -e '.[zero-shot]'" in said

    run_stages(monkeypatch, "review", "report")
    page = layout.page.read_text()
    assert re.search(rf"^\|   - \| `{RUN}` .*\| not-run +\|", page, re.MULTILINE)
    assert "dvc repro studies/own-data/dvc.yaml:zero_shot\n" in page
    assert "`pip install -e '.[zero-shot]'`" in page
    assert time_here(layout, {(RUN, 0)}).startswith("about 0.0 minutes")


def write_tower(path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model(TOWER).state_dict(), path)


def test_without_a_network(own, tmp_path, monkeypatch, capsys):
    skip_without("zero-shot")
    monkeypatch.setattr("open_clip.factory.download_pretrained_from_hf", no_network)
    weights = tmp_path / "tower.safetensors"
    write_tower(weights)
    describe(own, Towers(None, "hf-hub:nobody/nothing", weights))
    run_stages(monkeypatch, *INPUTS, "zero_shot")
    said = capsys.readouterr().out
    assert "hf-hub:nobody/nothing: not to be loaded by open_clip (OSError: no network)" in said
    assert "`text: local-dir:FOLDER` names it here" in said


def no_network(*_, **__):
    raise OSError("no network")


def test_another_models_texts_are_refused(own, tmp_path, monkeypatch):
    skip_without("zero-shot")
    towers = make_towers(tmp_path / "towers")
    other = make_towers(tmp_path / "other", seed=1)
    describe(own, towers, text=other.text)
    run_stages(monkeypatch, *INPUTS)
    with pytest.raises(SystemExit, match="its own image tower gives the pictures other embeddings"):
        run_stages(monkeypatch, "zero_shot")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"backbone": TOWER},
            "must be one of `features` and `backbones`, and end with _embedding",
        ),
        ({"resolution": 64}, "at 64 px must be one of `features`"),
        ({"prompts": ["a photo"]}, "'a photo': write {} once"),
        ({"prompts": ["{0} {}"]}, "write {} once"),
        ({"prompts": []}, "the list is empty"),
        ({"text": "ViT-B-32"}, "should match pattern"),
    ],
)
def test_settings_that_cannot_be(own, tmp_path, change, message):
    towers = Towers(None, "hf-hub:nobody/nothing", tmp_path / "tower.safetensors")
    with pytest.raises(InputError) as error:
        describe(own, towers, **change)
    assert message in str(error.value)
