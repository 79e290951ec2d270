"""MLflow with a real SQLite store: what a user sees, and that none of its failures stops a run."""

import os
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from conftest import LINEAR, ROOT, SIX_DIGITS, run_settings, stage, write_yaml
from mlflow import MlflowClient

from mlrepro.environments import Environment, read_environment
from mlrepro.records import read_record
from mlrepro.settings.run import Run
from mlrepro.tracking import Tracker

RUN = Run.model_validate(run_settings(LINEAR))
EXPERIMENT = "demo/digits"
ENTRY = {"epoch": 0, "lr": 1e-3, "train_loss": 0.5, "val_mAP": 50.0}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder, which is the present one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def store_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def environment_of(repository) -> Environment:
    folder = repository / "outputs" / "demo" / "digits" / f"{LINEAR}-s0"
    return read_environment(folder / "environment.json")


def test_a_run_from_training_to_evaluation(repository):
    stage(repository, "train", "params.yaml", LINEAR, "0")
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    record = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json")
    used = environment_of(repository)

    client = store_of(repository)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.`test.mAP` DESC"])
    assert [run.info.run_id for run in runs] == [used.mlflow_run_id]

    run = runs[0]
    assert run.info.run_name == f"{LINEAR}-s0"
    assert run.info.status == "FINISHED"
    assert run.data.params["loss.name"] == "bce"
    assert run.data.params["optimizer.lr"] == "0.001"
    assert run.data.tags["stage"] == f"dvc.yaml:train@{LINEAR}-0"
    assert run.data.tags["labels"] == "full"
    mAP = record.selected.metrics["mAP"]
    assert run.data.metrics["test.mAP"] == pytest.approx(mAP, rel=SIX_DIGITS)

    points = client.get_metric_history(run.info.run_id, "val_mAP")
    assert [point.step for point in points] == [epoch.epoch for epoch in record.history]
    recorded = [epoch.val_mAP for epoch in record.history]
    assert [point.value for point in points] == pytest.approx(recorded, rel=SIX_DIGITS)
    artifacts = client.list_artifacts(run.info.run_id)
    assert [artifact.path for artifact in artifacts] == [f"{LINEAR}-s0.json"]


def test_a_resumed_training_goes_on_in_its_run(folder):
    first = Tracker(EXPERIMENT, RUN, 0, {})
    run_id = first.start(None)
    first.epoch(ENTRY)

    again = Tracker(EXPERIMENT, RUN, 0, {})
    assert again.start(run_id) == run_id
    again.epoch(ENTRY | {"epoch": 1})
    again.finish()
    assert len(store_of(folder).get_metric_history(run_id, "val_mAP")) == 2


def test_a_broken_store_becomes_one_warning_and_training_finishes(repository):
    (repository / "mlflow.db").write_bytes(b"this is no database" * 100)
    write_yaml(repository / "runs" / f"{LINEAR}.yaml", run_settings(LINEAR, epochs=2))

    done = stage(repository, "train", "params.yaml", LINEAR, "0")
    assert done.stderr.count("MLflow tracking stopped") == 1
    assert "best validation mAP" in done.stdout

    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    assert environment_of(repository).mlflow_run_id is None


def test_a_locked_store_becomes_one_warning(folder):
    tracker = Tracker(EXPERIMENT, RUN, 0, {})
    tracker.start(None)
    with sqlite3.connect("mlflow.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.warns(UserWarning, match="MLflow tracking stopped .* locked"):
            tracker.epoch(ENTRY)  # waits for MLflow's own 20 s

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tracker.epoch(ENTRY)
        connection.execute("ROLLBACK")


OPEN_AND_START = """
import sys
sys.path.insert(0, sys.argv[1])
from test_tracking import EXPERIMENT, RUN, Tracker

tracker = Tracker(EXPERIMENT, RUN, 0, {})
print(tracker.start(None))
tracker.finish()
"""


def test_several_processes_open_a_fresh_store_at_once(folder):
    code_and_tests = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_START, str(ROOT / "tests")],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": code_and_tests},
        )
        for _ in range(4)
    ]
    ids = {process.communicate()[0].strip() for process in processes}
    assert len(ids) == 4

    client = store_of(folder)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == ids


def test_switched_off(folder, monkeypatch):
    monkeypatch.setenv("MLREPRO_TRACKING", "none")
    tracker = Tracker(EXPERIMENT, RUN, 0, {})
    assert tracker.start(None) is None
    assert not (folder / "mlflow.db").exists()
