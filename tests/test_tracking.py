"""MLflow with a real SQLite store: what a user sees in the UI, and that no failure of it reaches a training."""

import os
import sqlite3
import subprocess
import sys
import warnings

import pytest
from conftest import LINEAR, ROOT, run_settings, stage, write_yaml
from mlflow import MlflowClient

from mlrepro.records import read_record
from mlrepro.settings.run import Run
from mlrepro.tracking import Tracker

RUN = Run.model_validate(run_settings(LINEAR))
ENTRY = {"epoch": 0, "lr": 1e-3, "train_loss": 0.5, "val_mAP": 50.0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_run_from_training_to_evaluation(repository):
    stage(repository, "train", "params.yaml", LINEAR, "0")
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    record = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json")
    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("demo/digits")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.`test.mAP` DESC"])
    assert [run.info.run_id for run in runs] == [record.provenance.mlflow_run_id]
    run = runs[0]
    assert run.info.run_name == f"{LINEAR}-s0" and run.info.status == "FINISHED"
    assert run.data.params["loss.name"] == "bce" and run.data.params["optimizer.lr"] == "0.001"
    assert (
        run.data.tags["stage"] == f"dvc.yaml:train@{LINEAR}-0" and run.data.tags["labels"] == "full"
    )
    assert run.data.metrics["test.mAP"] == record.selected.metrics["mAP"]
    history = client.get_metric_history(run.info.run_id, "val_mAP")
    assert [(point.step, point.value) for point in history] == [
        (epoch.epoch, epoch.val_mAP) for epoch in record.history
    ]
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == [f"{LINEAR}-s0.json"]


def test_a_resumed_training_goes_on_in_its_run(folder):
    first = Tracker("demo/digits", RUN, 0, {})
    run_id = first.start(None)
    first.epoch(ENTRY)
    again = Tracker("demo/digits", RUN, 0, {})
    assert again.start(run_id) == run_id
    again.epoch(ENTRY | {"epoch": 1})
    again.finish()
    assert (
        len(MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").get_metric_history(run_id, "val_mAP"))
        == 2
    )


def test_a_broken_store_becomes_one_warning_and_training_finishes(repository):
    (repository / "mlflow.db").write_bytes(b"this is no database" * 100)
    write_yaml(repository / "runs" / f"{LINEAR}.yaml", run_settings(LINEAR, epochs=2))
    done = stage(repository, "train", "params.yaml", LINEAR, "0")
    assert (
        done.stderr.count("MLflow tracking stopped") == 1 and "best validation mAP" in done.stdout
    )
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    assert (
        read_record(
            repository / "results" / "digits" / f"{LINEAR}-s0.json"
        ).provenance.mlflow_run_id
        is None
    )


def test_a_locked_store_becomes_one_warning(folder):
    tracker = Tracker("demo/digits", RUN, 0, {})
    tracker.start(None)
    with sqlite3.connect("mlflow.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.warns(UserWarning, match="MLflow tracking stopped .* locked"):
            tracker.epoch(ENTRY)  # waits for MLflow's own 20 s
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tracker.epoch(ENTRY)
        connection.execute("ROLLBACK")


def test_several_processes_open_a_fresh_store_at_once(folder):
    code = (
        "import json, sys; sys.path[:0] = [sys.argv[1]]; from test_tracking import RUN, Tracker;"
        "t = Tracker('demo/digits', RUN, 0, {}); print(t.start(None)); t.finish()"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")]),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT / "tests")],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(4)
    ]
    ids = {process.communicate()[0].strip() for process in processes}
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("demo/digits").experiment_id])
    assert {run.info.run_id for run in runs} == ids and len(ids) == 4


def test_switched_off(folder, monkeypatch):
    monkeypatch.setenv("MLREPRO_TRACKING", "none")
    tracker = Tracker("demo/digits", RUN, 0, {})
    assert tracker.start(None) is None and not (folder / "mlflow.db").exists()
