"""A released model as it is, from its file to its record.

The stages on real photos, with a checkpoint in the authors' layout.
"""

import hashlib
import json
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SIX_DIGITS, stage, write_yaml
from mlflow import MlflowClient
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score
from test_checkpoints import in_authors_layout, small, training_file

from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.environments import (
    Environment,
    gather_environments,
    read_environment,
    write_environment,
)
from mlrepro.errors import InputError
from mlrepro.evaluation.record import EvaluationPlan, evaluate_checkpoint
from mlrepro.judging import record_shortfalls
from mlrepro.layout import read_layout
from mlrepro.models.classifier import Classifier
from mlrepro.records import Record, read_record, write_record
from mlrepro.report.study_page import write_study
from mlrepro.settings.run import Run
from mlrepro.studies.results import read_study
from mlrepro.studies.runs import read_run
from mlrepro.tracking import spool
from mlrepro.tracking.writer import write_until_idle
from mlrepro.training.inputs.pictures import PictureInputs

MINI = ROOT / ".." / "shared" / "data" / "coco2014-mini"
SETTINGS = "studies/query2label/evaluation/params.yaml"
RUN_ID = "query2label-asl-test_resnet-coco2014-64-released"
DATA_SET = "coco2014_val"
OUT = Path("outputs/query2label") / DATA_SET / f"{RUN_ID}-s0"
PLAN = EvaluationPlan("query2label", DATA_SET)
RECORD = Path("studies/query2label/results") / DATA_SET / f"{RUN_ID}-s0.json"
RUN = {
    "data": "coco2014",
    "inputs": "images",
    "head": "query2label",
    "backbone": "test_resnet",
    "weights": "none",
    "checkpoint": "checkpoints/Q2L-small/checkpoint.pkl",
    "resolution": 64,
    "resize": "bilinear",
    "loss": {"name": "asl"},
    "epochs": 0,
    "batch_size": 16,
    "precision": "float32",
    "selection": "last",
    "variant": "released",
}


@dataclass
class Released:
    """The model whose file was placed, and what fetching and evaluating it wrote."""

    model: Classifier
    path: Path
    sha256: str
    manifest: Manifest
    record: Record
    environment: Environment
    scores: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return self.manifest.label_matrix()


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The pipeline's own settings, with the photos at hand and one small model.

    The model's file is not there yet.
    """
    if not MINI.exists():
        pytest.skip("no ../shared/data/coco2014-mini")
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(ROOT / "stages", folder / "stages")

    kept = {"name", "data", "checkpoint_pages", "seeds"}
    pipeline = read_layout(ROOT / SETTINGS).pipeline
    settings = pipeline.model_dump(mode="json", include=kept, exclude_none=True)
    for archive in settings["data"][DATA_SET]["archives"]:
        archive["urls"] = [str(MINI.resolve())]
        del archive["md5"]
    write_yaml(folder / SETTINGS, settings | {"runs": [RUN_ID]})
    write_yaml(folder / Path(SETTINGS).parent / "runs" / f"{RUN_ID}.yaml", RUN)

    for name in ("download", "prepare"):
        stage(folder, name, SETTINGS, DATA_SET)
    return folder


def test_from_a_file_placed_by_hand_to_the_record(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLREPRO_TRACKING")
    monkeypatch.setattr(spool, "start_writer", lambda *_: None)  # check_tracking writes

    def run_stage(name: str, *arguments: str) -> None:
        """Runs a stage in this process: importing torch anew each time is what takes long."""
        monkeypatch.setattr(sys, "argv", [name, SETTINGS, RUN_ID, "0", *arguments])
        runpy.run_path(f"stages/{name}.py")

    without_the_file(run_stage)
    released = fetch_and_evaluate(run_stage)
    check_scores(released)
    check_metrics(released)
    check_record(released)
    check_tracking(repository, released)
    check_settings_are_heeded(released, monkeypatch)
    check_attention(run_stage, released, capsys)
    check_page(released)
    check_another_file(run_stage, released)


def without_the_file(run_stage: Callable) -> None:
    """The fetch stage says where a person finds it."""
    message = (
        "Get Q2L-small/checkpoint.pkl in a browser(.|\n)*https://cloud.tsinghua.edu.cn/d/a1560"
    )
    with pytest.raises(SystemExit, match=message):
        run_stage("fetch_checkpoint")


def fetch_and_evaluate(run_stage: Callable) -> Released:
    model = small(classes=80)
    path = Path(RUN["checkpoint"])
    path.parent.mkdir(parents=True)
    training_file(path, in_authors_layout(model))
    run_stage("fetch_checkpoint")
    run_stage("evaluate")

    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    fetched = json.loads((OUT / "checkpoint.json").read_text())
    assert fetched["sha256"] == sha256
    assert fetched["size"] == path.stat().st_size
    assert fetched["head_options"]["ffn"] == 24

    return Released(
        model=model,
        path=path,
        sha256=sha256,
        manifest=read_manifest(Path("data") / DATA_SET),
        record=read_record(RECORD),
        environment=read_environment(OUT / "environment.json"),
        scores=load_file(OUT / "logits.safetensors")["test_last"],
    )


def check_scores(released: Released) -> None:
    """They are the network's own, of every picture."""
    run = released.record.run
    with torch.inference_mode():
        inputs = PictureInputs(released.manifest, run, released.model.backbone, torch.device("cpu"))
        batch, rows = next(iter(inputs.sequential(np.arange(8))))
        np.testing.assert_allclose(released.scores[rows], released.model(batch), atol=1e-5)

    used = released.record.splits["test"].used
    assert len(released.scores) == len(released.labels) == used
    unlabelled = ~released.labels.any(1)
    assert 0 < unlabelled.sum() < len(unlabelled)


def check_metrics(released: Released) -> None:
    """Against scikit-learn, with and without the pictures that have no label."""
    labels = released.labels
    metrics = released.record.selected.metrics
    present = np.flatnonzero(labels.any(0))
    for name, kept in (("mAP", slice(None)), ("mAP_annotated", labels.any(1))):
        expected = [
            average_precision_score(labels[kept, k], released.scores[kept, k]) for k in present
        ]
        assert metrics[name] == pytest.approx(100 * sum(expected) / 80, rel=SIX_DIGITS)

    assert metrics["mAP_interpolated"] >= metrics["mAP"]
    assert metrics["mAP_interpolated_annotated"] >= metrics["mAP_annotated"]
    assert {"CF1", "OF1", "top3_CF1"} <= set(metrics)
    assert "tuned_CF1" not in metrics


def check_record(released: Released) -> None:
    record = released.record
    assert not record_shortfalls(record)
    assert not record.history
    assert record.provenance.pretrained == RUN["checkpoint"]
    assert record.provenance.pretrained_sha256 == released.sha256
    used = released.environment
    assert used.weights_sha256 == {}
    assert used.train_seconds == 0
    assert used.images_per_second > 0
    parameters = sum(parameter.numel() for parameter in released.model.parameters())
    assert record.cost.parameters == parameters


def check_tracking(repository: Path, released: Released) -> None:
    assert write_until_idle(spool.SPOOL, idle=0)
    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(f"query2label/{DATA_SET}")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert runs[0].data.tags["stage"].endswith(f"evaluate@{RUN_ID}-0")
    mAP = released.record.selected.metrics["mAP"]
    assert runs[0].data.metrics["test.mAP"] == pytest.approx(mAP, rel=SIX_DIGITS)
    assert runs[0].data.params["checkpoint"] == RUN["checkpoint"]


def check_settings_are_heeded(released: Released, monkeypatch) -> None:
    """Batch size and precision of a run with `epochs: 0`."""
    sizes = []
    network = type(released.model)
    forward = network.forward

    def noting_sizes(self, pictures):
        sizes.append(len(pictures))
        return forward(self, pictures)

    run = Run(**{**RUN, "precision": "bfloat16", "batch_size": 64})
    with monkeypatch.context() as patch:
        patch.setattr(network, "forward", noting_sizes)
        record, logits = evaluate_checkpoint(run, 0, read_layout(SETTINGS).data, OUT, PLAN)
    assert max(sizes) == 64
    assert record.environment.precision == "bfloat16"
    assert released.environment.precision == "float32"

    half = logits["test_last"]
    assert half.dtype == np.float32
    difference = np.abs(half - released.scores).max()
    assert 0 < difference < 0.1 * released.scores.std() + 0.1


def check_attention(run_stage: Callable, released: Released, capsys) -> None:
    """Where it looks: test pictures for the page, and a person's own picture."""
    run_stage("attention")
    drawn = Path("reports/figures").glob(f"query2label-attention-{RUN_ID}-s0-?.png")
    assert len(list(drawn)) == 4

    own = released.manifest.root / released.manifest.frame["image"].iloc[0]
    capsys.readouterr()
    run_stage("attention", str(own))
    assert capsys.readouterr().out.startswith(f"attention: {own} -> {OUT}/attention/")
    assert len(list((OUT / "attention").glob("*.png"))) == 1


def check_page(released: Released) -> None:
    """Table I of the study's page, as if these numbers were those of the first released model."""
    shutil.copytree(ROOT / "studies/query2label", "page/query2label")
    shutil.copytree("reports", "page/reports")
    run_id = "query2label-asl-resnet101-coco2014-448-released"
    run = read_run(read_layout(ROOT / SETTINGS), run_id)
    path = Path("page/query2label/results") / DATA_SET / f"{run_id}-s0.json"
    record = released.record.model_copy(update={"run": run})
    write_record(record, path)
    at_hand = Path("page/environment.json")
    write_environment(released.environment, at_hand, path)
    gather_environments(path.parent, {record.name: at_hand})

    page = Path("page/reports/query2label.md")
    write_study(read_study(Path("page/query2label")), page)
    lines = [line.replace(" ", "") for line in page.read_text().splitlines()]
    metrics = released.record.selected.metrics
    value = metrics["mAP_interpolated"]
    annotated = metrics["mAP_interpolated_annotated"]
    speed = released.environment.images_per_second
    model = "|Q2L-R101-448|ResNet-101448|"
    assert f"{model}84.9|84.9|{value:.2f}|{value - 84.9:.2f}|{annotated:.2f}|below|" in lines
    assert f"{model}51.35|193.91|{speed:.1f}|" in lines
    figures = [line for line in lines if line.startswith("![query2label-attention-")]
    assert len(figures) == 4


def check_another_file(run_stage: Callable, released: Released) -> None:
    """Another file than the fetch stage saw, and a stage that has nothing to do."""
    training_file(released.path, in_authors_layout(small(classes=80, seed=1)))
    layout = read_layout(SETTINGS)
    with pytest.raises(InputError, match="not the file that its fetch stage saw"):
        evaluate_checkpoint(read_run(layout, RUN_ID), 0, layout.data, OUT, PLAN)
    with pytest.raises(SystemExit, match="nothing to train"):
        run_stage("train")


@pytest.mark.parametrize(
    "changes",
    [
        {"checkpoint": None},
        {"selection": "best"},
        {"optimizer": {"lr": 1e-4}},
        {"ema": 0.9},
        {"augment": "flip"},
        {"epochs": 1},
        {"select_on_test": True},
        {"checkpoint_drop": ["fc"]},
        {"inputs": "maps"},
    ],
)
def test_a_run_that_trains_nothing_takes_no_settings_of_training(changes):
    assert Run(**RUN).run_id == RUN_ID
    with pytest.raises(ValueError, match="scores a checkpoint as it is|needs `inputs: images`"):
        Run(**{**RUN, **changes})
