"""What the course studies (003, 001) need: metrics by epoch, no third split, features for frozen networks, figures."""

import copy
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
import yaml
from conftest import LINEAR, ROOT, run_settings, stage, write_yaml
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import (
    f1_score,
    jaccard_score,
    multilabel_confusion_matrix,
    precision_score,
    recall_score,
)
from test_modes import Memory

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import read_manifest
from mlrepro.data.prepare import _held_out
from mlrepro.errors import InputError
from mlrepro.evaluation import evaluate_run, read_history, write_logits
from mlrepro.judging import record_shortfalls
from mlrepro.losses import create_loss
from mlrepro.losses.class_weighted import WeightedBceLoss
from mlrepro.models.backbones import create_backbone
from mlrepro.models.heads import create_head
from mlrepro.records import Record, read_record, write_record
from mlrepro.report.study_page import write_study
from mlrepro.settings.data import HoldOut, VocData
from mlrepro.settings.run import Run, load_run
from mlrepro.studies.results import read_study
from mlrepro.training.fit import fit, predict
from mlrepro.training.inputs import FeatureInputs
from mlrepro.training.run import create_task, train_run

CPU = torch.device("cpu")
ANIMALS = ROOT / "studies" / "voc-transfer-animals" / "runs"
SHARED = ROOT / ".." / "shared" / "data"


def train(run: Run, model, inputs, labels, rows, checkpoint=None):
    targets = torch.from_numpy(labels[rows["train"]])
    loss = create_loss(run.loss, targets, None, torch.Generator())
    return fit(
        run,
        0,
        model,
        loss,
        inputs,
        targets,
        labels,
        rows,
        checkpoint or Memory(),
        CPU,
        lambda _: None,
        lambda _: None,
    )


def small(checkpoint=None, **changes):
    """A linear layer on random features: its progress, and (logits, labels) of its training and validation rows at the end."""
    run = Run.model_validate(
        run_settings(LINEAR, epochs=4, batch_size=4, epoch_metrics=True) | changes
    )
    random = np.random.default_rng(0)
    inputs = FeatureInputs(torch.tensor(random.normal(size=(30, 5)), dtype=torch.float32), CPU)
    labels = (random.random((30, 6)) < 0.4).astype(np.int8)
    rows = {"train": np.arange(20), "val": np.arange(20, 30)}
    torch.manual_seed(0)
    model = create_head("linear", 5, 6, None)
    progress = train(run, model, inputs, labels, rows, checkpoint)
    return progress, {
        split: (predict(model, inputs, of, CPU), labels[of]) for split, of in rows.items()
    }


@pytest.mark.parametrize("split", ["train", "val"])
def test_metrics_of_an_epoch_are_scikit_learns(split):
    """The model hardly moves, so that its answers before each step of the epoch are those after the last."""
    progress, answers = small(epochs=1, optimizer={"name": "sgd", "lr": 1e-12})
    (logits, labels), entry = answers[split], progress.history[0]
    said = logits >= 0
    assert 0 < (said & (labels == 1)).sum() < labels.sum()
    for metric, names in (
        (precision_score, ("OP", "CP", "sample_precision")),
        (recall_score, ("OR", "CR", "sample_recall")),
        (f1_score, ("micro_F1", "macro_F1", "sample_F1")),
        (jaccard_score, (None, None, "sample_IoU")),
    ):
        for average, name in zip(("micro", "macro", "samples"), names, strict=True):
            if name:
                expected = 100 * metric(labels, said, average=average, zero_division=0)
                assert entry[f"{split}_{name}"] == pytest.approx(expected, abs=1e-9), name
    assert entry[f"{split}_label_accuracy"] == pytest.approx(100 * (said == labels).mean())
    p = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -np.log(np.where(labels == 1, p, 1 - p) + 1e-5).mean()
    assert entry[f"{split}_loss"] == pytest.approx(expected, rel=1e-5)


def test_metrics_by_epoch_survive_an_interruption():
    wanted, _ = small()
    checkpoint = Memory(interrupt_after=2)
    with pytest.raises(KeyboardInterrupt):
        small(checkpoint)
    again, _ = small(checkpoint)
    assert (
        again.history == wanted.history
        and len({entry["train_sample_IoU"] for entry in wanted.history}) > 1
    )
    assert not any("sample" in name for name in small(epoch_metrics=False)[0].history[0])


def test_extracted_features_train_as_the_frozen_network_does(repository, monkeypatch):
    """003 sends pictures through frozen layers ten times; here their output is computed once (and the same last layer starts)."""
    monkeypatch.chdir(repository)
    manifest = read_manifest(Path("data/digits"))
    labels, rows = (
        manifest.label_matrix(),
        {split: manifest.rows(split) for split in ("train", "val")},
    )
    changes = {
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "batch_size": 20,
        "epoch_metrics": True,
    }
    run = Run.model_validate(run_settings(LINEAR, **changes))
    features, _ = read_features(
        features_path(Path("data/digits"), run.backbone, 32), manifest, run.backbone, 32
    )
    torch.manual_seed(0)
    head = create_head("linear", features.shape[1], len(manifest.classes), None)
    whole = run_settings(
        "gap-bce-efficientnet_lite0-digits-32", weights="package", freeze="backbone", **changes
    )
    whole = Run.model_validate(whole)
    task = create_task(whole, manifest, Path("data/digits"))
    task.model.head.fc.load_state_dict(head.state_dict())
    before = copy.deepcopy(task.model.backbone.state_dict())
    apart = train(run, head, FeatureInputs(features, CPU), labels, rows)
    together = train(whole, task.model, task.inputs, labels, rows)
    for key, value in before.items():
        assert torch.equal(task.model.backbone.state_dict()[key], value)
    torch.testing.assert_close(task.model.head.fc.weight, head.weight, rtol=1e-3, atol=1e-5)
    for one, other in zip(apart.history, together.history, strict=True):
        assert one.keys() == other.keys()
        for name in ("train_loss", "val_loss"):
            assert one[name] == pytest.approx(other[name], rel=1e-3)


def train_and_evaluate(run: Run, repository, monkeypatch) -> Record:
    """Its record, written below `repository`, which becomes the current folder: as the two stages do, in this process."""
    monkeypatch.chdir(repository)
    data, out = Path("data/digits"), Path(f"outputs/demo/digits/{run.run_id}-s0")
    tracker = SimpleNamespace(start=lambda _: None, epoch=lambda _: None, finish=lambda *_: None)
    train_run(run, 0, data, out / "training", "course", tracker)
    record, logits = evaluate_run(run, 0, data, out / "training", "demo", "digits")
    write_logits(logits, out / "logits.safetensors")
    write_record(record, Path(f"results/digits/{run.run_id}-s0.json"))
    return record


def test_a_study_without_a_third_split(repository, monkeypatch):
    """Validation is the test: the last epoch alone is measured, no threshold tuned; its record feeds figures and gallery."""
    settings = run_settings(
        LINEAR,
        validation="test",
        selection="last",
        epoch_metrics=True,
        loss={"name": "bce_weighted"},
    )
    run_id = LINEAR.replace("bce", "bce_weighted")
    write_yaml(repository / "runs" / f"{run_id}.yaml", settings)
    params = yaml.safe_load((repository / "params.yaml").read_text())
    write_yaml(repository / "params.yaml", params | {"runs": [run_id]})
    train_and_evaluate(Run.model_validate(settings), repository, monkeypatch)
    out = repository / "outputs" / "demo" / "digits" / f"{run_id}-s0"
    record, manifest = (
        read_record(repository / f"results/digits/{run_id}-s0.json"),
        read_manifest(repository / "data/digits"),
    )
    assert record.history == read_history(
        out / "training" / "history.csv"
    ) and not record_shortfalls(record)
    assert set(record.measurements) == {"last"} and not any(
        "tuned" in name for name in record.selected.metrics
    )
    assert load_file(out / "logits.safetensors").keys() == {"test_last"}
    labels, train_labels = (
        manifest.label_matrix()[manifest.rows(split)] for split in ("test", "train")
    )
    logits = load_file(out / "logits.safetensors")["test_last"]
    matrices = multilabel_confusion_matrix(labels, logits >= 0)
    assert [list(c.confusion) for c in record.selected.per_class] == matrices.reshape(
        -1, 4
    ).tolist()
    weights = WeightedBceLoss(torch.from_numpy(train_labels)).weight
    assert [c.weight for c in record.selected.per_class] == pytest.approx(weights.tolist())
    random = np.random.default_rng(0)
    drawn = [
        random.choice(np.flatnonzero(train_labels[:, k]))
        for k in random.integers(0, train_labels.shape[1], 200_000)
    ]
    expected = len(train_labels) * train_labels[drawn].mean(0)
    assert [c.balanced for c in record.selected.per_class] == pytest.approx(expected, rel=0.03)
    last = record.history[-1].metrics
    for name in ("sample_IoU", "micro_F1", "macro_F1", "label_accuracy"):
        assert (
            record.selected.metrics[name]
            == last[f"val_{name}"]
            == record.selected.metrics[f"val_{name}"]
        )
    assert record.selected.metrics["train_loss"] == record.history[-1].train_loss
    stage(repository, "report", "params.yaml")
    page = (repository / "reports" / "demo.md").read_text()
    for figure in (f"epochs-{run_id}", "balance", "confusion"):
        assert f"figures/demo-{figure}.png" in page
        with Image.open(repository / "reports" / "figures" / f"demo-{figure}.png") as image:
            assert len(image.convert("L").getcolors()) > 20
    k = int(np.argmax(matrices[:, 0, 1] + matrices[:, 1, 0]))
    done = stage(repository, "gallery", "params.yaml", run_id, "0", manifest.classes[k])
    assert (
        f"of {matrices[k, 0, 1] + matrices[k, 1, 0]} errors on {manifest.classes[k]} among 48 test pictures"
        in done.stdout
    )
    with Image.open(out / f"misclassified-{manifest.classes[k]}.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 1000
    done = stage(repository, "gallery", "params.yaml", run_id, "0", "fiv", check=False)
    assert (
        done.returncode == 1
        and "did you mean 'five'" in done.stderr
        and "Traceback" not in done.stderr
    )


@pytest.mark.parametrize(
    "changes", [{"selection": "best"}, {"stop_below": 1.0}, {"early_stop": {"rule": "aam"}}]
)
def test_nothing_is_chosen_on_the_test(tmp_path, changes):
    write_yaml(
        tmp_path / "run.yaml", run_settings(LINEAR, validation="test", selection="last") | changes
    )
    with pytest.raises(InputError, match="`validation: test` needs `selection: last`"):
        load_run(tmp_path / "run.yaml")
    write_yaml(
        tmp_path / "run.yaml",
        run_settings(LINEAR, labels="single", epoch_metrics=True, loss={"name": "an"}),
    )
    with pytest.raises(InputError, match="`epoch_metrics` needs `labels: full`"):
        load_run(tmp_path / "run.yaml")


def test_all_voc2007_pictures_are_split_70_to_30(tmp_path):
    archive = SHARED / "labels" / "voc2007_ImageSets_Main.tar.xz"
    if not archive.exists():
        pytest.skip("the VOC2007 label lists are not beside the repository")
    extract(archive, tmp_path / "VOC")
    settings = yaml.safe_load((ROOT / "data" / "params.yaml").read_text())["data"][
        "voc2007_70_30"
    ] | {"root": "VOC"}
    settings = VocData.model_validate(settings)
    frame, _ = formats.read(settings, tmp_path)
    split = _held_out(frame, settings.hold_out)["split"]
    assert split.value_counts().to_dict() == {"train": 6974, "test": 2989}
    assert frame[split == "test"]["part"].value_counts().to_dict().keys() == {"trainval", "test"}
    with pytest.raises(InputError, match="or the split `test` from `splits`"):
        _held_out(frame.assign(split="test"), HoldOut(split="test"))


def test_the_added_layers_and_their_ablations():
    maps = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    head = create_head("mlp", 6, 4, None)
    hidden = maps.mean((2, 3)) @ head.hidden[0].weight.T
    normal = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    head.hidden[3].eval()  # the dropout
    torch.testing.assert_close(head(maps), head.fc(normal.relu()), rtol=1e-4, atol=1e-5)
    head.hidden[3].train()
    assert not torch.equal(head(maps), head(maps))
    plain = create_head("mlp", 6, 4, None, batch_norm=False, dropout=0.0)
    expected = plain.fc(
        (maps.mean((2, 3)) @ plain.hidden[0].weight.T + plain.hidden[0].bias).relu()
    )
    torch.testing.assert_close(plain(maps), expected, rtol=1e-4, atol=1e-5)


def test_small_cnn_and_torchvisions_old_densenet_file(tmp_path):
    backbone, _ = create_backbone("small_cnn", "none", 64)
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, 256, 4, 4)
    torch.manual_seed(0)
    whole = torchvision.models.densenet121().eval()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value
        for name, value in whole.state_dict().items()
        if "num_batches" not in name
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet121.pth")
    backbone, _ = create_backbone("densenet121", str(tmp_path / "densenet121.pth"), 64)
    with torch.inference_mode():
        pictures = torch.randn(2, 3, 64, 64)
        logits = whole.classifier(backbone.eval()(pictures).mean((2, 3)))
        torch.testing.assert_close(logits, whole(pictures), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", sorted(ANIMALS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_runs_on_real_photos_work_on_digits(repository, monkeypatch, path):
    """One epoch each, at the smallest size that the network takes; what they give on photos is not a test's business."""
    settings = yaml.safe_load(path.read_text())
    changes = {
        "data": "digits",
        "resolution": 64 if settings["backbone"] == "alexnet" else 32,
        "epochs": 1,
    }
    run = Run.model_validate(settings | changes)
    record = train_and_evaluate(run, repository, monkeypatch)
    assert (
        not record_shortfalls(record)
        and record.history[0].metrics["val_all_negative_accuracy"] > 50
    )


def test_a_studys_page_shows_training_metrics_and_the_accuracy_of_nothing(repository, monkeypatch):
    """Table 2 of 001 with a record of made-up origin: digits, under the name of the study's run."""
    shutil.copytree(ROOT / "studies" / "mirflickr", repository / "study")
    run = load_run(repository / "study/mirflickr25k/runs/gap-bce-small_cnn-mirflickr25k-128.yaml")
    small_run = run.model_copy(update={"resolution": 32, "epochs": 2, "augment": "none"})
    record = train_and_evaluate(small_run, repository, monkeypatch).model_copy(update={"run": run})
    write_record(record, Path(f"study/results/mirflickr25k/{run.run_id}-s0.json"))
    write_study(read_study(Path("study")), Path("reports/mirflickr.md"))
    page = Path("reports/mirflickr.md").read_text()
    metrics = record.selected.metrics
    for name in ("label_accuracy", "train_label_accuracy", "train_loss", "val_loss"):
        assert (
            f"{metrics[name] / 100:.4f} / " if "accuracy" in name else f"{metrics[name]:.2f} / "
        ) in page, name
    header, line = (
        next(row for row in page.split("\n") if row.startswith(start)).split("|")
        for start in (
            "| row             | model   |   printed micro_f1 |",
            "| CNN, Unbalanced | CNN     |               0.19 |",
        )
    )
    nothing = [cell.strip() for cell in header].index("accuracy of nothing (%)")
    assert line[nothing].strip() == f"{metrics['all_negative_accuracy']:.2f}"
    assert (
        f"figures/mirflickr-epochs-{run.run_id}.png" in page
        and Path("reports/figures/mirflickr-confusion.png").is_file()
    )
