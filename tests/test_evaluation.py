"""The record of a run: its numbers are those of its logits, its facts those of its files."""

import hashlib
import json

import numpy as np
import pytest
from conftest import LINEAR, PICTURES, SIX_DIGITS, run_settings, stage, write_yaml
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score, f1_score

from mlrepro.data.manifest import read_manifest, write_manifest
from mlrepro.environments import read_environment
from mlrepro.errors import InputError
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.judging import record_shortfalls
from mlrepro.metrics.thresholds import tune_shrunk_thresholds
from mlrepro.records import TrainingFacts, read_record, write_record
from mlrepro.training.read import read_facts, read_history


def train_and_evaluate(repository, run_id: str) -> None:
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", run_id, "0")


def resampled_by_hand(scores: np.ndarray, labels: np.ndarray) -> list[float]:
    """Each resample drawn and scored for itself; a class without positives counts 0."""
    draws = np.random.default_rng(0)
    maps = []
    for _ in range(200):
        rows = draws.integers(len(labels), size=len(labels))
        drawn = labels[rows]
        aps = [
            average_precision_score(drawn[:, k], scores[rows, k])
            for k in np.flatnonzero(drawn.any(0))
        ]
        maps.append(round(100 * sum(aps) / labels.shape[1], 2))
    return pytest.approx(maps, abs=0.0101)  # which may be rounded either way


@pytest.mark.parametrize("run_id", [LINEAR, PICTURES])
def test_record_agrees_with_its_logits(repository, run_id):
    train_and_evaluate(repository, run_id)
    out = repository / "outputs" / "demo" / "digits" / f"{run_id}-s0"
    record = read_record(repository / "results" / "digits" / f"{run_id}-s0.json")
    used = read_environment(out / "environment.json")
    manifest = read_manifest(repository / "data" / "digits")
    labels = manifest.label_matrix(manifest.rows("test"))
    logits = load_file(out / "logits.safetensors")

    for selection, measured in record.measurements.items():
        scores = logits[f"test_{selection}"]
        assert scores.dtype == np.float32
        assert scores.shape == labels.shape

        with_positives = np.flatnonzero(labels.any(0))
        aps = [average_precision_score(labels[:, k], scores[:, k]) for k in with_positives]
        metrics = measured.metrics
        assert metrics["mAP"] == pytest.approx(100 * sum(aps) / labels.shape[1], rel=SIX_DIGITS)
        assert metrics["mAP_nonempty"] == pytest.approx(100 * np.mean(aps), rel=SIX_DIGITS)
        micro = f1_score(labels, scores >= 0, average="micro", zero_division=0)
        assert metrics["micro_F1"] == pytest.approx(100 * micro, rel=SIX_DIGITS)

        if selection == record.run.selection:
            assert measured.resamples == resampled_by_hand(scores, labels)
        else:
            assert measured.resamples is None

        weights = (out / "training" / f"{selection}.safetensors").read_bytes()
        digest = hashlib.sha256(weights).hexdigest()
        assert used.weights_sha256[selection] == digest

    best = max(record.history, key=lambda epoch: epoch.val_mAP)
    assert record.measurements["best"].epoch == best.epoch
    assert record.measurements["last"].epoch == 2

    assert record.provenance.manifest_sha256 == manifest.digest
    assert not record_shortfalls(record)
    assert record.splits["test"].used == 48
    assert record.cost.gflops == 2 * record.cost.gmacs > 0


def test_what_records_of_own_data_hold_beside(repository):
    train_and_evaluate(repository, LINEAR)
    run = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json").run
    data = repository / "data" / "digits"
    out = repository / "outputs" / "demo" / "digits" / f"{LINEAR}-s0" / "training"
    plan = EvaluationPlan("own-data", "digits", advises=True)
    record, logits = evaluate_run(run, 0, data, out, plan)

    manifest = read_manifest(data)
    val, test = (manifest.label_matrix(manifest.rows(split)) for split in ("val", "test"))
    on_val, on_test = (logits[f"{split}_{run.selection}"] for split in ("val", "test"))
    decided = on_test >= tune_shrunk_thresholds(on_val, val)
    metrics = record.selected.metrics
    micro = f1_score(test, decided, average="micro", zero_division=0)
    assert metrics["exported_OF1"] == pytest.approx(100 * micro)
    assert metrics["exported_OF1"] != metrics["tuned_OF1"]

    assert record.choices["validation"].mAP == pytest.approx(
        max(epoch.val_mAP for epoch in record.history), abs=1e-3
    )
    assert record.calibration.error_after < 100


def test_an_older_record_gets_its_resamples_from_the_logits(repository):
    train_and_evaluate(repository, LINEAR)
    path = repository / "results" / "digits" / f"{LINEAR}-s0.json"
    evaluated = path.read_bytes()
    record = read_record(path)
    older = {
        selection: measurement.model_copy(update={"resamples": None, "mAP_se": 1.0})
        for selection, measurement in record.measurements.items()
    }
    write_record(record.model_copy(update={"measurements": older}), path)

    done = stage(repository, "resamples", "params.yaml")
    assert "1 records have got theirs, 0 lack them still" in done.stdout
    assert path.read_bytes() == evaluated
    assert "0 records have got theirs" in stage(repository, "resamples", "params.yaml").stdout

    write_record(record.model_copy(update={"measurements": older}), path)
    (repository / "outputs" / "demo" / "digits" / f"{LINEAR}-s0" / "logits.safetensors").unlink()
    done = stage(repository, "resamples", "params.yaml")
    assert "0 records have got theirs, 1 lack them still" in done.stdout


# ---- Classes without positives -----------------------------------------------------------------


def keep_one_test_positive(repository) -> str:
    """Of all test pictures one keeps one label; returns the only class that is left in test."""
    folder = repository / "data" / "digits"
    manifest = read_manifest(folder)
    frame = manifest.frame
    test = manifest.rows("test")
    labels = [list(of_picture) for of_picture in frame["labels"]]
    kept = next(row for row in test if labels[row])
    for row in test:
        labels[row] = labels[row][:1] if row == kept else []
    write_manifest(folder, frame.assign(labels=labels), manifest.classes, manifest.summary)
    return manifest.classes[labels[kept][0]]


def test_record_of_a_test_set_with_one_positive(repository):
    """Four of ten resamples of the test pictures have none, and so no mAP under `skip`."""
    left = keep_one_test_positive(repository)
    settings = run_settings(LINEAR, empty_classes="skip")
    write_yaml(repository / "runs" / f"{LINEAR}.yaml", settings)
    for name in ("corrupt", "extract"):
        stage(repository, name, "params.yaml")
    train_and_evaluate(repository, LINEAR)

    path = repository / "results" / "digits" / f"{LINEAR}-s0.json"
    assert "NaN" not in path.read_text()
    measured = read_record(path).selected
    [ap] = [result.AP for result in measured.per_class if result.AP is not None]
    assert [result.name for result in measured.per_class if result.test] == [left]
    assert measured.metrics["mAP"] == pytest.approx(100 * ap)
    assert measured.mAP_se > 0


def test_an_map_that_no_weights_could_have(repository):
    """Under `nan`, that is: known before the first epoch."""
    keep_one_test_positive(repository)
    settings = run_settings(LINEAR, empty_classes="nan")
    write_yaml(repository / "runs" / f"{LINEAR}.yaml", settings)

    done = stage(repository, "train", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "data/digits/manifest.parquet: test has no positive picture of" in done.stderr
    assert f"`empty_classes: nan` no mAP of {LINEAR} is a number" in done.stderr
    assert "epoch" not in done.stderr and "Traceback" not in done.stderr


def test_a_history_without_numbers_is_named(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,lr,train_loss,val_mAP,val_loss\n0,0.1,0.5,40.0,inf\n")
    assert read_history(path)[0].metrics == {}
    path.write_text("epoch,lr,train_loss,val_mAP\n0,0.1,0.5,nan\n")
    with pytest.raises(InputError, match="history.csv: not the history of a training; run its"):
        read_history(path)


def test_weights_of_other_settings_are_refused(repository):
    stage(repository, "train", "params.yaml", LINEAR, "0")
    write_yaml(repository / "runs" / f"{LINEAR}.yaml", run_settings(LINEAR, epochs=4))

    done = stage(repository, "evaluate", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "settings_sha256" in done.stderr
    assert "run its train stage again" in done.stderr


def test_what_is_read_and_is_damaged(repository):
    """Of garbage, nothing and a half, each file is named with the stage that writes it."""
    stage(repository, "train", "params.yaml", LINEAR, "0")
    trained = repository / "outputs" / "demo" / "digits" / f"{LINEAR}-s0" / "training"
    [features] = (repository / "data" / "digits" / "features").glob("*.safetensors")
    files = {
        trained / "training.json": "run its train stage again",
        trained / "best.safetensors": "run its train stage again",
        trained / "last.safetensors": "run its train stage again",
        features: "run the stage that writes it again",
    }
    for file, remedy in files.items():
        whole = file.read_bytes()
        for damaged in (b"garbage" * 99, b"", whole[: len(whole) // 2]):
            file.write_bytes(damaged)
            done = stage(repository, "evaluate", "params.yaml", LINEAR, "0", check=False)
            assert done.returncode == 1
            error = done.stderr.splitlines()[-1] if file.suffix != ".json" else done.stderr
            assert f"{file.name}: " in error and remedy in error
            assert "Traceback" not in done.stderr
        file.write_bytes(whole)
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")


def test_cost_of_the_packaged_backbone(repository):
    """timm's table: EfficientNet-Lite0 has 4.65 M parameters with its 1000-class layer."""
    train_and_evaluate(repository, LINEAR)
    text = (repository / "results" / "digits" / f"{LINEAR}-s0.json").read_text()
    cost = json.loads(text)["cost"]

    layer = 1280 * 10 + 10
    published_layer = 1280 * 1000 + 1000
    assert cost["parameters"] == 4652008 - published_layer + layer
    assert cost["trainable_parameters"] == layer


def test_facts_of_old_grid_searches_are_readable(tmp_path):
    """They did not say that their weights are plain, nor of which code they are."""
    environment = {
        "python": "3.12",
        "versions": {},
        "device": "cpu",
        "precision": "float32",
        "threads": 2,
        "train_seconds": 1.0,
        "images_per_second": 10.0,
        "peak_memory_mib": 10.0,
    }
    written = {
        "epochs": {"best": 3, "last": 24},
        "commit": "c",
        "dirty": False,
        "settings_sha256": "a",
        "manifest_sha256": "b",
        "pretrained": "none",
        "pretrained_sha256": None,
        "mlflow_run_id": None,
        "torch_seed": 0,
        "environment": environment,
    }
    (tmp_path / "training.json").write_text(json.dumps(written))

    plain = {"best": "plain", "last": "plain"}
    assert read_facts(tmp_path) == TrainingFacts.model_validate(written | {"weights": plain})
