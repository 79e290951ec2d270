"""What the VOC2007 transfer study and the MIRFLICKR study need.

Metrics by epoch, no third split, features for frozen networks, figures.
"""

import copy
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml
from conftest import LINEAR, ROOT, SIX_DIGITS, run_settings, stage, write_yaml
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import (
    f1_score,
    jaccard_score,
    multilabel_confusion_matrix,
    precision_score,
    recall_score,
)
from toys import CPU, Memory, toy_job

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import read_manifest
from mlrepro.data.prepare import _held_out
from mlrepro.errors import InputError
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.json_text import significant
from mlrepro.judging import record_shortfalls
from mlrepro.losses.class_weighted import WeightedBceLoss
from mlrepro.models.backbones import create_backbone
from mlrepro.models.heads import create_head
from mlrepro.records import Record, read_record, write_record
from mlrepro.report.study_page import write_study
from mlrepro.settings.data import HoldOut, VocData
from mlrepro.settings.run import Run, load_run
from mlrepro.studies.results import read_study
from mlrepro.training.fit import fit
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.predict import predict
from mlrepro.training.read import read_history
from mlrepro.training.state import Progress
from mlrepro.training.task import create_task
from mlrepro.training.train import train_run

DATA = Path("data/digits")
PLAN = EvaluationPlan("demo", "digits")
ANIMALS = ROOT / "studies" / "voc-transfer-animals" / "runs"
SHARED = ROOT / ".." / "shared" / "data"


# ---- Metrics by epoch --------------------------------------------------------------------------


class Trained:
    """A linear layer trained on random features, and its answers at the end."""

    def __init__(self, checkpoint: Memory | None = None, **changes):
        settings = run_settings(LINEAR, epochs=4, batch_size=4, epoch_metrics=True)
        random = np.random.default_rng(0)
        features = torch.tensor(random.normal(size=(30, 5)), dtype=torch.float32)
        self.inputs = FeatureInputs(features, CPU)
        self.labels = (random.random((30, 6)) < 0.4).astype(np.int8)
        self.rows = {"train": np.arange(20), "val": np.arange(20, 30)}

        torch.manual_seed(0)
        self.model = create_head("linear", 5, 6, None)
        run = Run.model_validate(settings | changes)
        job = toy_job(run, self.model, self.inputs, self.labels, self.rows)
        self.progress = fit(job, checkpoint)

    def answers(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of a split's rows."""
        rows = self.rows[split]
        return predict(self.model, self.inputs, rows, CPU), self.labels[rows]


# Of scikit-learn -> our names of its averages.
MICRO_MACRO_SAMPLES = {
    precision_score: ("OP", "CP", "sample_precision"),
    recall_score: ("OR", "CR", "sample_recall"),
    f1_score: ("micro_F1", "macro_F1", "sample_F1"),
    jaccard_score: (None, None, "sample_IoU"),
}


@pytest.mark.parametrize("split", ["train", "val"])
def test_metrics_of_an_epoch_are_scikit_learns(split):
    """The model hardly moves: its answers before each step are those after the last one."""
    trained = Trained(epochs=1, optimizer={"name": "sgd", "lr": 1e-12})
    entry = trained.progress.history[0]
    logits, labels = trained.answers(split)
    predicted = logits >= 0
    hits = (predicted & (labels == 1)).sum()
    assert 0 < hits < labels.sum()

    for metric, names in MICRO_MACRO_SAMPLES.items():
        for average, name in zip(("micro", "macro", "samples"), names, strict=True):
            if name:
                value = 100 * metric(labels, predicted, average=average, zero_division=0)
                assert entry[f"{split}_{name}"] == pytest.approx(value, abs=1e-9), name
    accuracy = 100 * (predicted == labels).mean()
    assert entry[f"{split}_label_accuracy"] == pytest.approx(accuracy)

    p = 1 / (1 + np.exp(-logits.astype(float)))
    loss = -np.log(np.where(labels == 1, p, 1 - p) + 1e-5).mean()
    assert entry[f"{split}_loss"] == pytest.approx(loss, rel=1e-5)


def test_metrics_by_epoch_survive_an_interruption():
    wanted = Trained().progress.history
    checkpoint = Memory(interrupt_after=2)
    with pytest.raises(KeyboardInterrupt):
        Trained(checkpoint)
    assert Trained(checkpoint).progress.history == wanted
    assert len({entry["train_sample_IoU"] for entry in wanted}) > 1


def test_metrics_by_epoch_are_measured_only_where_they_are_asked_for():
    first = Trained(epoch_metrics=False).progress.history[0]
    assert not any("sample" in name for name in first)


# ---- Features for frozen networks --------------------------------------------------------------


def fit_digits(run: Run, model, inputs) -> Progress:
    manifest = read_manifest(DATA)
    rows = {split: manifest.rows(split) for split in ("train", "val")}
    return fit(toy_job(run, model, inputs, manifest.label_matrix(), rows))


def test_extracted_features_train_as_the_frozen_network_does(repository, monkeypatch):
    """The transfer study sends pictures through frozen layers ten times.

    Here their output is computed once, and the same last layer starts.
    """
    monkeypatch.chdir(repository)
    manifest = read_manifest(DATA)
    changes = {
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "batch_size": 20,
        "epoch_metrics": True,
    }
    run = Run.model_validate(run_settings(LINEAR, **changes))
    path = features_path(DATA, run.backbone, 32)
    features, _ = read_features(path, manifest, run.backbone, 32)
    torch.manual_seed(0)
    head = create_head("linear", features.shape[1], len(manifest.classes), None)

    whole_id = "gap-bce-efficientnet_lite0-digits-32"
    whole = run_settings(whole_id, weights="package", freeze="backbone", **changes)
    whole_run = Run.model_validate(whole)
    task = create_task(whole_run, manifest, DATA)
    task.model.head.fc.load_state_dict(head.state_dict())
    before = copy.deepcopy(task.model.backbone.state_dict())

    apart = fit_digits(run, head, FeatureInputs(features, CPU))
    together = fit_digits(whole_run, task.model, task.inputs)
    for key, value in before.items():
        assert torch.equal(task.model.backbone.state_dict()[key], value)
    torch.testing.assert_close(task.model.head.fc.weight, head.weight, rtol=1e-3, atol=1e-5)
    for entry, entry_together in zip(apart.history, together.history, strict=True):
        assert entry.keys() == entry_together.keys()
        for name in ("train_loss", "val_loss"):
            assert entry[name] == pytest.approx(entry_together[name], rel=1e-3)


# ---- Without a third split ---------------------------------------------------------------------


def train_and_evaluate(run: Run, repository: Path, monkeypatch) -> Record:
    """Its record, written below `repository`, which becomes the current folder.

    As the two stages do, in this process.
    """
    monkeypatch.chdir(repository)
    out = Path(f"outputs/demo/digits/{run.run_id}-s0")
    train_run(run, 0, DATA, out / "training", "course")
    record, logits = evaluate_run(run, 0, DATA, out / "training", PLAN)
    write_logits(logits, out / "logits.safetensors")
    write_record(record, Path(f"results/digits/{run.run_id}-s0.json"))
    return record


WEIGHTED = LINEAR.replace("bce", "bce_weighted")


@pytest.fixture
def without_third_split(repository, monkeypatch) -> Path:
    """A repository with one run, trained, whose validation is the test."""
    settings = run_settings(
        LINEAR,
        validation="test",
        selection="last",
        epoch_metrics=True,
        loss={"name": "bce_weighted"},
    )
    write_yaml(repository / "runs" / f"{WEIGHTED}.yaml", settings)
    params = yaml.safe_load((repository / "params.yaml").read_text())
    write_yaml(repository / "params.yaml", params | {"runs": [WEIGHTED]})
    train_and_evaluate(Run.model_validate(settings), repository, monkeypatch)
    return repository


def record_of(repository: Path) -> Record:
    return read_record(repository / f"results/digits/{WEIGHTED}-s0.json")


def confusion_matrices(repository: Path) -> np.ndarray:
    """(K, 2, 2) of the test pictures, by scikit-learn."""
    manifest = read_manifest(repository / "data/digits")
    out = repository / "outputs" / "demo" / "digits" / f"{WEIGHTED}-s0"
    logits = load_file(out / "logits.safetensors")
    assert logits.keys() == {"test_last"}
    labels = manifest.label_matrix(manifest.rows("test"))
    return multilabel_confusion_matrix(labels, logits["test_last"] >= 0)


def test_the_last_epoch_alone_is_measured_and_no_threshold_tuned(without_third_split):
    record = record_of(without_third_split)
    out = without_third_split / "outputs/demo/digits" / f"{WEIGHTED}-s0"
    trained = read_history(out / "training" / "history.csv")
    kept = [significant(epoch.model_dump()) for epoch in trained]
    assert [epoch.model_dump() for epoch in record.history] == kept
    assert not record_shortfalls(record)

    metrics = record.selected.metrics
    assert set(record.measurements) == {"last"}
    assert not any("tuned" in name for name in metrics)

    last = record.history[-1]
    for name in ("sample_IoU", "micro_F1", "macro_F1", "label_accuracy"):
        assert metrics[name] == last.metrics[f"val_{name}"] == metrics[f"val_{name}"]
    assert metrics["train_loss"] == last.train_loss


def test_classes_of_the_record(without_third_split):
    per_class = record_of(without_third_split).selected.per_class
    matrices = confusion_matrices(without_third_split)
    assert [list(c.confusion) for c in per_class] == matrices.reshape(-1, 4).tolist()

    manifest = read_manifest(without_third_split / "data/digits")
    labels = manifest.label_matrix(manifest.rows("train"))
    weights = WeightedBceLoss(torch.from_numpy(labels)).weight
    assert [c.weight for c in per_class] == pytest.approx(weights.tolist(), rel=SIX_DIGITS)

    # Class-uniform draws, simulated.
    random = np.random.default_rng(0)
    drawn_classes = random.integers(0, labels.shape[1], 200_000)
    drawn = [random.choice(np.flatnonzero(labels[:, k])) for k in drawn_classes]
    balanced = len(labels) * labels[drawn].mean(0)
    assert [c.balanced for c in per_class] == pytest.approx(balanced, rel=0.03)


def test_its_record_feeds_figures(without_third_split):
    stage(without_third_split, "report", "params.yaml")
    reports = without_third_split / "reports"
    page = (reports / "demo.md").read_text()
    for figure in (f"epochs-{WEIGHTED}", "balance", "confusion"):
        assert f"figures/demo-{figure}.png" in page
        with Image.open(reports / "figures" / f"demo-{figure}.png") as image:
            assert len(image.convert("L").getcolors()) > 20


def test_its_record_feeds_the_gallery(without_third_split):
    matrices = confusion_matrices(without_third_split)
    errors = matrices[:, 0, 1] + matrices[:, 1, 0]
    k = int(np.argmax(errors))
    name = read_manifest(without_third_split / "data/digits").classes[k]

    done = stage(without_third_split, "gallery", "params.yaml", WEIGHTED, "0", name)
    assert f"of {errors[k]} errors on {name} among 48 test pictures" in done.stdout
    out = without_third_split / "outputs/demo/digits" / f"{WEIGHTED}-s0"
    with Image.open(out / f"misclassified-{name}.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 1000

    wrong = ("gallery", "params.yaml", WEIGHTED, "0", "fiv")
    done = stage(without_third_split, *wrong, check=False)
    assert done.returncode == 1
    assert "did you mean 'five'" in done.stderr
    assert "Traceback" not in done.stderr


CHOICES = [{"selection": "best"}, {"stop_below": 1.0}, {"early_stop": {"rule": "aam"}}]


@pytest.mark.parametrize("changes", CHOICES)
def test_nothing_is_chosen_on_the_test(tmp_path, changes):
    settings = run_settings(LINEAR, validation="test", selection="last") | changes
    write_yaml(tmp_path / "run.yaml", settings)
    with pytest.raises(InputError, match="`validation: test` needs `selection: last`"):
        load_run(tmp_path / "run.yaml")


def test_metrics_by_epoch_need_full_labels(tmp_path):
    settings = run_settings(LINEAR, labels="single", epoch_metrics=True, loss={"name": "an"})
    write_yaml(tmp_path / "run.yaml", settings)
    with pytest.raises(InputError, match="`epoch_metrics` needs `labels: full`"):
        load_run(tmp_path / "run.yaml")


def test_all_voc2007_pictures_are_split_70_to_30(tmp_path):
    archive = SHARED / "labels" / "voc2007_ImageSets_Main.tar.xz"
    if not archive.exists():
        pytest.skip("the VOC2007 label lists are not beside the repository")
    extract(archive, tmp_path / "VOC")
    params = yaml.safe_load((ROOT / "data" / "params.yaml").read_text())
    settings = VocData.model_validate(params["data"]["voc2007_70_30"] | {"root": "VOC"})

    frame, _ = formats.read(settings, tmp_path)
    split = _held_out(frame, settings.hold_out)["split"]
    assert split.value_counts().to_dict() == {"train": 6974, "test": 2989}
    assert set(frame[split == "test"]["part"]) == {"trainval", "test"}
    with pytest.raises(InputError, match="or the split `test` from `splits`"):
        _held_out(frame.assign(split="test"), HoldOut(split="test"))


# ---- Their networks ----------------------------------------------------------------------------


def test_the_added_layers():
    maps = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    head = create_head("mlp", 6, 4, None)
    dropout = head.hidden[3]

    hidden = maps.mean((2, 3)) @ head.hidden[0].weight.T
    deviation = (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    normal = (hidden - hidden.mean(0)) / deviation
    dropout.eval()
    torch.testing.assert_close(head(maps), head.fc(normal.relu()), rtol=1e-4, atol=1e-5)
    dropout.train()
    assert not torch.equal(head(maps), head(maps))


def test_the_added_layers_read_vectors_as_maps_that_are_pooled():
    maps = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    head = create_head("mlp", 6, 4, None).eval()
    torch.testing.assert_close(head(maps.mean((2, 3))), head(maps))


def test_the_added_layers_without_batch_norm_and_dropout():
    maps = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    plain = create_head("mlp", 6, 4, None, batch_norm=False, dropout=0.0)
    layer = plain.hidden[0]
    hidden = maps.mean((2, 3)) @ layer.weight.T + layer.bias
    torch.testing.assert_close(plain(maps), plain.fc(hidden.relu()), rtol=1e-4, atol=1e-5)


def test_small_cnn():
    backbone, _ = create_backbone("small_cnn", "none", 64)
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, 256, 4, 4)


def test_torchvisions_old_densenet_file(tmp_path):
    torch.manual_seed(0)
    whole = torchvision.models.densenet121().eval()
    numbered = re.compile(r"(denselayer\d+\.(?:norm|conv))(\d)")
    old = {
        numbered.sub(r"\1.\2", name): value
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


# ---- Their runs and pages ----------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(ANIMALS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_runs_on_real_photos_work_on_digits(repository, monkeypatch, path):
    """One epoch each, at the smallest size that the network takes.

    What they give on photos is not a test's business.
    """
    settings = yaml.safe_load(path.read_text())
    smallest = 64 if settings["backbone"] == "alexnet" else 32
    small = {"data": "digits", "resolution": smallest, "epochs": 1}
    record = train_and_evaluate(Run.model_validate(settings | small), repository, monkeypatch)
    assert not record_shortfalls(record)
    assert record.history[0].metrics["val_all_negative_accuracy"] > 50


def row_of(page: str, start: str) -> list[str]:
    """The cells of the first table row that starts so."""
    row = next(line for line in page.split("\n") if line.startswith(start))
    return [cell.strip() for cell in row.split("|")]


def test_a_studys_page_shows_training_metrics_and_the_accuracy_of_nothing(repository, monkeypatch):
    """The MIRFLICKR study's Table 2 with a record of made-up origin.

    It is of digits, under the name of the study's run.
    """
    without_records = shutil.ignore_patterns("results")
    shutil.copytree(ROOT / "studies" / "mirflickr", repository / "study", ignore=without_records)
    run = load_run(
        repository / "study/mirflickr20k/runs/gap-bce-small_cnn_narrow-mirflickr20k-64.yaml"
    )
    small_run = run.model_copy(update={"resolution": 32, "epochs": 2, "augment": "none"})
    record = train_and_evaluate(small_run, repository, monkeypatch).model_copy(update={"run": run})
    write_record(record, Path(f"study/results/mirflickr20k/{run.run_id}-s0.json"))
    write_study(read_study(Path("study")), Path("reports/mirflickr.md"))
    page = Path("reports/mirflickr.md").read_text()

    metrics = record.selected.metrics
    for name in ("label_accuracy", "train_label_accuracy"):
        assert f"{metrics[name] / 100:.4f} / " in page, name
    for name in ("train_loss", "val_loss"):
        assert f"{metrics[name]:.2f} / " in page, name

    header = row_of(page, "| row             | model   |   printed micro_f1 |")
    row = row_of(page, "| CNN, Unbalanced | CNN     |               0.19 |")
    nothing = row[header.index("accuracy of answering nothing")]
    assert nothing == f"{metrics['all_negative_accuracy'] / 100:.4f}", "as it is printed"

    assert f"figures/mirflickr-epochs-{run.run_id}.png" in page
    assert Path("reports/figures/mirflickr-confusion.png").is_file()
