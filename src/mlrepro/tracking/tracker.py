"""What a stage says of its run: started, an epoch, finished, its record."""

import hashlib
import os
import time
import uuid
import warnings
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro.layout import Layout
from mlrepro.provenance import git_state
from mlrepro.records import Record
from mlrepro.settings.run import Run
from mlrepro.tracking import spool

STORE = Path("mlflow.db")  # at the repository's root, where plain `mlflow ui` looks


class Tracker:
    """Events of one run id and seed, appended to the spool.

    A training's events belong to its session, one MLflow run however often it is interrupted. What
    fails here becomes one warning and stops no run.
    """

    def __init__(self, experiment: str, run: Run, seed: int, tags: dict[str, str]):
        self.experiment = experiment
        self.run = run
        self.seed = seed
        self.tags = tags
        self.session: str | None = None
        self.spool: spool.SpoolFile | None = None
        self.off = os.environ.get("MLREPRO_TRACKING") == "none"
        self.warned = False

    @property
    def name(self) -> str:
        return f"{self.run.run_id}-s{self.seed}"

    @property
    def key(self) -> str:
        """What tells the MLflow runs of this run, seed and these settings from others."""
        identity = f"{self.experiment}/{self.name}/{self.run.digest}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    # ---- What a training tells (training/observer.py) ----------------------------------------

    def start(self, session: str | None) -> str | None:
        """Begins a training, or goes on with that of `session`; returns its session.

        None where tracking is off, but for a session that another process may go on with.
        """
        if self.off:
            return session
        self.session = session or uuid.uuid4().hex
        self._send({"event": "start"})
        return self.session

    def epoch(self, entry: dict) -> None:
        values = {key: value for key, value in entry.items() if key != "epoch"}
        self._metrics(values, step=entry["epoch"])

    def finish(self, status: str = "FINISHED") -> None:
        """Nothing for a training that has failed before it started."""
        if self.session:
            self._send({"event": "finish", "status": status})
            self.close()

    # ---- What an evaluation tells ------------------------------------------------------------

    def record(self, record: Record, path: Path, reported: float | None = None) -> None:
        """Adds final metrics, cost, the gap to the reported mAP, and the record's file.

        They go to the latest MLflow run of these settings. Where there is none (a checkpoint scored
        as it is, a training from DVC's cache), one is made.
        """
        self._metrics(_final_metrics(record, reported))
        # Its text, since the file may be another by the time it is written.
        text = path.read_text(encoding="utf-8")
        self._send({"event": "file", "name": path.name, "text": text})
        self._send({"event": "finish", "status": "FINISHED"})
        self.close()

    # ---- Both --------------------------------------------------------------------------------

    def close(self) -> None:
        if self.spool:
            self.spool.close()
            self.spool = None
        if not self.off:
            self._warn_if_behind(spool.problem())

    def _metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        known = {key: float(value) for key, value in values.items() if value is not None}
        self._send({"event": "metrics", "values": known, "step": step})

    def _send(self, event: dict) -> None:
        if self.off:
            return

        event = {**event, "session": self.session, "time": int(time.time() * 1000)}
        try:
            if self.spool is None:
                self.spool = spool.SpoolFile(self.name, self._described())
            self.spool.append(event)
        except OSError as error:  # a full disk, a folder without rights
            self.off = True
            self._warn(
                f"MLflow tracking stopped for {self.run.run_id} seed {self.seed}: "
                f"{type(error).__name__}: {error}. The run goes on; history.csv and the record "
                "hold its results."
            )
            return

        try:
            spool.start_writer()
        except OSError as error:  # no process to be had: the event is safe
            self._warn_if_behind(f"{type(error).__name__}: {error}")

    def _warn_if_behind(self, why: str | None) -> None:
        if why and not self.warned:
            self._warn(
                f"MLflow is behind: {why}; what it misses waits in {spool.SPOOL} and is written "
                "when the store can be"
            )

    def _warn(self, text: str) -> None:
        self.warned = True
        warnings.warn(text, stacklevel=4)

    def _described(self) -> dict:
        """The first line of a spool file: how the writer finds or makes the MLflow run."""
        settings = _flat(self.run.model_dump(mode="json") | {"seed": self.seed})
        return {
            # Without its password, for the spool is a file; the writer's environment has the rest.
            "store": without_secrets(os.environ.get("MLFLOW_TRACKING_URI", ""))
            or f"sqlite:///{STORE.absolute()}",
            "experiment": self.experiment,
            "name": self.name,
            "key": self.key,
            "tags": self.tags,
            "params": {key: str(value) for key, value in settings.items()},
        }


def _final_metrics(record: Record, reported: float | None) -> dict[str, float | None]:
    measured = record.selected.metrics
    metrics = {f"test.{key}": value for key, value in measured.items()}
    if record.cost:
        metrics["GMACs"] = record.cost.gmacs
    if reported is not None:
        metrics["reported.mAP"] = reported
        metrics["delta.mAP"] = measured["mAP"] - reported
    return metrics


def _flat(values: dict, prefix: str = "") -> dict:
    """Nested settings by dotted names."""
    flat = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def open_tracker(layout: Layout, run: Run, seed: int, stage: str) -> Tracker:
    """The tracker of one run and seed in its pipeline's experiment.

    stage: that which asks, for the tag of that name.
    """
    # These are one stage for all of their runs.
    item = "" if stage in ("search", "zero_shot") else f"@{run.run_id}-{seed}"
    tags = {
        "method": f"{run.head}-{run.loss.name}",
        "backbone": run.backbone,
        "data_set": layout.name,
        "labels": run.labels,
        "study": layout.study,
        "seed": str(seed),
        "commit": git_state()[0],
        "stage": f"{layout.dvc_file}:{stage}{item}",
    }
    return Tracker(f"{layout.study}/{layout.name}", run, seed, tags)
