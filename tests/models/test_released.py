"""A released model as it is, from its file to its record: the stages on real photos, with a checkpoint in the authors' layout."""

import hashlib
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, stage, write_yaml
from mlflow import MlflowClient
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score
from test_checkpoints import in_authors_layout, small, training_file

from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation import evaluate_checkpoint
from mlrepro.judging import record_shortfalls
from mlrepro.layout import read_layout
from mlrepro.records import read_record, write_record
from mlrepro.report.study_page import write_study
from mlrepro.settings.run import Run
from mlrepro.studies.results import read_study
from mlrepro.training.inputs.pictures import PictureInputs

MINI = ROOT / ".." / "shared" / "data" / "coco2014-mini"
SETTINGS = "studies/query2label/evaluation/params.yaml"
RUN_ID = "query2label-asl-test_resnet-coco2014-64-released"
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


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The pipeline's own settings, with the photos at hand and one small model; its file is not there yet."""
    if not MINI.exists():
        pytest.skip("no ../shared/data/coco2014-mini")
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(ROOT / "stages", folder / "stages")
    layout = read_layout(ROOT / SETTINGS)
    settings = layout.pipeline.model_dump(
        mode="json", include={"name", "data", "checkpoint_pages", "seeds"}, exclude_none=True
    )
    for archive in settings["data"]["coco2014_val"]["archives"]:
        archive["urls"] = [str(MINI.resolve())]
        del archive["md5"]
    write_yaml(folder / SETTINGS, settings | {"runs": [RUN_ID]})
    write_yaml(folder / Path(SETTINGS).parent / "runs" / f"{RUN_ID}.yaml", RUN)
    for name in ("download", "prepare"):
        stage(folder, name, SETTINGS, "coco2014_val")
    return folder


def test_from_a_file_placed_by_hand_to_the_record(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def here(name: str, *more: str) -> None:
        """Runs a stage in this process: importing torch anew each time is what takes long."""
        monkeypatch.setattr(sys, "argv", [name, SETTINGS, RUN_ID, "0", *more])
        runpy.run_path(f"stages/{name}.py")

    with pytest.raises(
        SystemExit,
        match="Get Q2L-small/checkpoint.pkl in a browser(.|\n)*https://cloud.tsinghua.edu.cn/d/a1560",
    ):
        here("fetch_checkpoint")

    model = small(classes=80)
    path = Path(RUN["checkpoint"])
    path.parent.mkdir(parents=True)
    training_file(path, in_authors_layout(model))
    for name in ("fetch_checkpoint", "evaluate"):
        here(name)
    out = Path("outputs/query2label/coco2014_val") / f"{RUN_ID}-s0"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    fetched = json.loads((out / "checkpoint.json").read_text())
    assert (fetched["sha256"], fetched["size"], fetched["head_options"]["ffn"]) == (
        digest,
        path.stat().st_size,
        24,
    )

    record = read_record(Path("studies/query2label/results/coco2014_val") / f"{RUN_ID}-s0.json")
    manifest = read_manifest(Path("data/coco2014_val"))
    labels, scores = manifest.label_matrix(), load_file(out / "logits.safetensors")["test_last"]
    with torch.inference_mode():
        inputs = PictureInputs(manifest, record.run, model.backbone, torch.device("cpu"))
        batch, rows = next(iter(inputs.sequential(np.arange(8))))
        np.testing.assert_allclose(scores[rows], model(batch), atol=1e-5)
    labelled = labels.any(1)
    assert len(scores) == len(labels) == record.splits["test"].used and 0 < (~labelled).sum() < len(
        labels
    )
    metrics, present = record.selected.metrics, labels.any(0)
    for name, kept in (("mAP", slice(None)), ("mAP_annotated", labelled)):
        expected = [
            average_precision_score(labels[kept, k], scores[kept, k])
            for k in np.flatnonzero(present)
        ]
        assert metrics[name] == pytest.approx(100 * sum(expected) / 80, abs=1e-9)
    assert (
        metrics["mAP_interpolated"] >= metrics["mAP"]
        and metrics["mAP_interpolated_annotated"] >= metrics["mAP_annotated"]
    )
    assert {"CF1", "OF1", "top3_CF1"} <= set(metrics) and "tuned_CF1" not in metrics
    assert (
        not record_shortfalls(record)
        and not record.history
        and record.provenance.pretrained_sha256 == digest
    )
    assert (
        record.provenance.pretrained == RUN["checkpoint"] and record.provenance.weights_sha256 == {}
    )
    assert record.environment.train_seconds == 0 < record.environment.images_per_second
    assert record.cost.parameters == sum(p.numel() for p in model.parameters())

    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    runs = client.search_runs(
        [client.get_experiment_by_name("query2label/coco2014_val").experiment_id]
    )
    assert [run.info.status for run in runs] == ["FINISHED"] and runs[0].data.tags[
        "stage"
    ].endswith(f"evaluate@{RUN_ID}-0")
    assert (
        runs[0].data.metrics["test.mAP"] == metrics["mAP"]
        and runs[0].data.params["checkpoint"] == RUN["checkpoint"]
    )

    # Settings that a run with epochs: 0 has are heeded: batch size and precision.
    layout, sizes = read_layout(SETTINGS), []
    settings = (layout.data, out, "query2label", "coco2014_val")
    forward = type(model).forward
    monkeypatch.setattr(
        type(model),
        "forward",
        lambda self, pictures: sizes.append(len(pictures)) or forward(self, pictures),
    )
    half, logits = evaluate_checkpoint(
        Run(**{**RUN, "precision": "bfloat16", "batch_size": 64}), 0, *settings
    )
    assert (
        max(sizes) == 64
        and half.environment.precision == "bfloat16"
        and record.environment.precision == "float32"
    )
    difference = np.abs(logits["test_last"] - scores).max()
    assert logits["test_last"].dtype == np.float32 and 0 < difference < 0.1 * scores.std() + 0.1

    # Where it looks: test pictures for the page, and a person's own picture.
    here("attention")
    assert len(list(Path("reports/figures").glob(f"query2label-attention-{RUN_ID}-s0-?.png"))) == 4
    own = manifest.root / manifest.frame["image"].iloc[0]
    capsys.readouterr()
    here("attention", str(own))
    assert capsys.readouterr().out.startswith(f"attention: {own} -> {out}/attention/")
    assert len(list((out / "attention").glob("*.png"))) == 1

    # Table I of the study's page, as if these numbers were those of the first released model, and the figures.
    shutil.copytree(ROOT / "studies/query2label", "page/query2label")
    shutil.copytree("reports", "page/reports")
    run = read_layout(ROOT / SETTINGS).run("query2label-asl-resnet101-coco2014-448-released")
    write_record(
        record.model_copy(update={"run": run}),
        Path(f"page/query2label/results/coco2014_val/{run.run_id}-s0.json"),
    )
    write_study(read_study(Path("page/query2label")), Path("page/reports/query2label.md"))
    lines = [
        line.replace(" ", "")
        for line in Path("page/reports/query2label.md").read_text().splitlines()
    ]
    value, part = metrics["mAP_interpolated"], metrics["mAP_interpolated_annotated"]
    assert (
        f"|Q2L-R101-448|ResNet-101448|84.9|84.9|{value:.2f}|{value - 84.9:.2f}|{part:.2f}|below|"
        in lines
    )
    assert (
        f"|Q2L-R101-448|ResNet-101448|51.35|193.91|{record.environment.images_per_second:.1f}|"
        in lines
    )
    assert sum(line.startswith("![query2label-attention-") for line in lines) == 4

    # Another file than the fetch stage saw, and a stage that has nothing to do.
    training_file(path, in_authors_layout(small(classes=80, seed=1)))
    with pytest.raises(InputError, match="not the file that its fetch stage saw"):
        evaluate_checkpoint(layout.run(RUN_ID), 0, *settings)
    with pytest.raises(SystemExit, match="nothing to train"):
        here("train")


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
