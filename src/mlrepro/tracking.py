"""MLflow, for looking at runs. It mirrors what history.csv and the records hold, and it never stops a training: whatever
fails here becomes one warning. MLREPRO_TRACKING=none turns it off; MLFLOW_TRACKING_URI names another store."""

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


class Tracker:
    """One MLflow run, for one run id and seed. After the first failure it says so once and does nothing more."""

    def __init__(self, experiment: str, run: Run, seed: int, tags: dict[str, str]):
        self.experiment, self.run, self.seed, self.tags = experiment, run, seed, tags
        self.run_id: str | None = None
        with self._quietly():
            self.client = None if os.environ.get("MLREPRO_TRACKING") == "none" else self._open()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the store may be locked, broken, away or not installed: none of it may stop a run
            self.client = None
            warnings.warn(
                f"MLflow tracking stopped for {self.run.run_id} seed {self.seed}: {type(error).__name__}: {error}. "
                "The run goes on; history.csv and the record hold its results.",
                stacklevel=3,
            )

    def _open(self):
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        Path(".checkpoints").mkdir(exist_ok=True)
        # Several processes that migrate one fresh SQLite file destroy it: the first open happens under a lock.
        with Path(".checkpoints/mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            client = MlflowClient(
                os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{STORE.absolute()}")
            )
            experiment = client.get_experiment_by_name(self.experiment)
            self.experiment_id = (
                experiment.experiment_id
                if experiment
                else client.create_experiment(
                    self.experiment,
                    artifact_location=(ARTIFACTS / self.experiment).absolute().as_uri(),
                )
            )
        return client

    def start(self, run_id: str | None) -> str | None:
        """Opens the MLflow run `run_id` again, or a new one; returns its id (None without a store)."""
        with self._quietly():
            if self.client and run_id:
                self.client.update_run(run_id, status="RUNNING")
                self.run_id = run_id
            elif self.client:
                from mlflow.entities import Param

                created = self.client.create_run(
                    self.experiment_id, run_name=f"{self.run.run_id}-s{self.seed}", tags=self.tags
                )
                self.run_id = created.info.run_id
                settings = pandas.json_normalize(
                    self.run.model_dump(mode="json") | {"seed": self.seed}
                ).iloc[0]
                self.client.log_batch(
                    self.run_id, params=[Param(key, str(value)) for key, value in settings.items()]
                )
        return self.run_id

    def epoch(self, entry: dict) -> None:
        self.metrics(
            {key: value for key, value in entry.items() if key != "epoch"}, step=entry["epoch"]
        )

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        with self._quietly():
            if self.client and self.run_id:
                from mlflow.entities import Metric

                now = int(time.time() * 1000)
                self.client.log_batch(
                    self.run_id,
                    [Metric(k, v, now, step) for k, v in values.items() if v is not None],
                )

    def finish(self, status: str = "FINISHED") -> None:
        with self._quietly():
            if self.client and self.run_id:
                self.client.set_terminated(self.run_id, status)

    def record(self, record: Record, path: Path, reported: float | None = None) -> None:
        """Adds the record to the run of its training, or to a run of its own where nothing was trained (`epochs: 0`): final
        metrics, cost, the gap to the reported mAP, and the file."""
        self.run_id = record.provenance.mlflow_run_id if self.run.epochs else self.start(None)
        with self._quietly():
            if self.client and self.run_id:
                self.client.log_artifact(self.run_id, str(path))
                mAP = record.selected.metrics["mAP"]
                gap = (
                    {}
                    if reported is None
                    else {"reported.mAP": reported, "delta.mAP": mAP - reported}
                )
                self.metrics(
                    {f"test.{k}": v for k, v in record.selected.metrics.items()}
                    | {"GMACs": record.cost.gmacs}
                    | gap
                )
        if not self.run.epochs:
            self.finish()


def open_tracker(layout: Layout, run: Run, seed: int, stage: str) -> Tracker:
    """The tracker of one run and seed in its pipeline's experiment; `stage`: that which asks, for the tag of that name."""
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
