"""MLflow, for looking at runs.

It mirrors what history.csv and the records hold, and it never stops a training: whatever fails here
becomes one warning. MLREPRO_TRACKING=none turns it off; MLFLOW_TRACKING_URI names another store.
"""

import fcntl
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas

from mlrepro.layout import Layout
from mlrepro.provenance import git_state
from mlrepro.records import Record
from mlrepro.settings.run import Run

STORE = Path("mlflow.db")  # at the repository's root, where plain `mlflow ui` looks
ARTIFACTS = Path("mlartifacts")
LOCK = Path(".checkpoints/mlflow.lock")


class Tracker:
    """One MLflow run, for one run id and seed.

    After the first failure it says so once and does nothing more.
    """

    def __init__(self, experiment: str, run: Run, seed: int, tags: dict[str, str]):
        self.experiment = experiment
        self.run = run
        self.seed = seed
        self.tags = tags
        self.run_id: str | None = None
        self.client = None
        if os.environ.get("MLREPRO_TRACKING") != "none":
            with self._quietly():
                self.client = self._open()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        # The store may be locked, broken, away or not installed: none of it may stop a run.
        try:
            yield
        except Exception as error:
            self.client = None
            warnings.warn(
                f"MLflow tracking stopped for {self.run.run_id} seed {self.seed}: "
                f"{type(error).__name__}: {error}. "
                "The run goes on; history.csv and the record hold its results.",
                stacklevel=3,
            )

    def _open(self):
        """A client of the store, in which the experiment is made if it is not there."""
        from mlflow import MlflowClient  # here: it takes seconds, and may not be installed

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        store = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{STORE.absolute()}")

        # Several processes that migrate one fresh SQLite file destroy it: the first open happens
        # under a lock.
        LOCK.parent.mkdir(exist_ok=True)
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            client = MlflowClient(store)
            experiment = client.get_experiment_by_name(self.experiment)
            if experiment:
                self.experiment_id = experiment.experiment_id
            else:
                artifacts = (ARTIFACTS / self.experiment).absolute().as_uri()
                self.experiment_id = client.create_experiment(
                    self.experiment, artifact_location=artifacts
                )
        return client

    # ---- What a training tells (training/observer.py) ----------------------------------------

    def start(self, run_id: str | None) -> str | None:
        """Opens the MLflow run `run_id` again, or a new one; returns its id (None: no store)."""
        with self._quietly():
            if self.client and run_id:
                self.client.update_run(run_id, status="RUNNING")
                self.run_id = run_id
            elif self.client:
                self._create_run()
        return self.run_id

    def _create_run(self) -> None:
        from mlflow.entities import Param

        name = f"{self.run.run_id}-s{self.seed}"
        created = self.client.create_run(self.experiment_id, run_name=name, tags=self.tags)
        self.run_id = created.info.run_id

        nested = self.run.model_dump(mode="json") | {"seed": self.seed}
        settings = pandas.json_normalize(nested).iloc[0]
        params = [Param(key, str(value)) for key, value in settings.items()]
        self.client.log_batch(self.run_id, params=params)

    def epoch(self, entry: dict) -> None:
        values = {key: value for key, value in entry.items() if key != "epoch"}
        self.metrics(values, step=entry["epoch"])

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        with self._quietly():
            if self.client and self.run_id:
                from mlflow.entities import Metric

                now = int(time.time() * 1000)
                metrics = [
                    Metric(key, value, now, step)
                    for key, value in values.items()
                    if value is not None
                ]
                self.client.log_batch(self.run_id, metrics)

    def finish(self, status: str = "FINISHED") -> None:
        with self._quietly():
            if self.client and self.run_id:
                self.client.set_terminated(self.run_id, status)

    # ---- What an evaluation tells ------------------------------------------------------------

    def record(self, record: Record, path: Path, reported: float | None = None) -> None:
        """Adds final metrics, cost, the gap to the reported mAP, and the record's file.

        They go to the run of its training, or to a run of its own where nothing was trained
        (`epochs: 0`).
        """
        if self.run.epochs:
            self.run_id = record.provenance.mlflow_run_id
        else:
            self.run_id = self.start(None)

        with self._quietly():
            if self.client and self.run_id:
                self.client.log_artifact(self.run_id, str(path))
                self.metrics(_final_metrics(record, reported))
        if not self.run.epochs:
            self.finish()


def _final_metrics(record: Record, reported: float | None) -> dict[str, float | None]:
    measured = record.selected.metrics
    metrics = {f"test.{key}": value for key, value in measured.items()}
    metrics["GMACs"] = record.cost.gmacs
    if reported is not None:
        metrics["reported.mAP"] = reported
        metrics["delta.mAP"] = measured["mAP"] - reported
    return metrics


def open_tracker(layout: Layout, run: Run, seed: int, stage: str) -> Tracker:
    """The tracker of one run and seed in its pipeline's experiment.

    stage: that which asks, for the tag of that name.
    """
    tags = {
        "method": f"{run.head}-{run.loss.name}",
        "backbone": run.backbone,
        "data_set": layout.name,
        "labels": run.labels,
        "study": layout.study,
        "seed": str(seed),
        "commit": git_state()[0],
        "stage": f"{layout.dvc_file}:{stage}@{run.run_id}-{seed}",
    }
    return Tracker(f"{layout.study}/{layout.name}", run, seed, tags)
