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
    """Events of one run id and seed, appended to the spool. After the first failure it says so once and does nothing more."""

    def __init__(self, experiment: str, run: Run, seed: int, tags: dict[str, str]):
        self.experiment = experiment
        self.run = run
        self.seed = seed
        self.tags = tags
        self.session: str | None = None
        self.spool: spool.SpoolFile | None = None
        self.off = os.environ.get("MLREPRO_TRACKING") == "none"

    @property
    def name(self) -> str:
        return f"{self.run.run_id}-s{self.seed}"

    @property
    def key(self) -> str:
        """What tells the MLflow runs of this run, seed and these settings from others."""
        identity = f"{self.experiment}/{self.name}/{self.run.digest}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def start(self, resumed: str | None = None) -> str | None:
        """Begins a training, or goes on with the one that was given the session `resumed`; returns its session.

        A resumed training goes on in its MLflow run. None where tracking is off.
        """
        if self.off:
            return None
        self.session = resumed or uuid.uuid4().hex
        self._send({"event": "start"})
        return self.session

    def epoch(self, entry: dict) -> None:
        values = {key: value for key, value in entry.items() if key != "epoch"}
        self.metrics(values, step=entry["epoch"])

    def metrics(self, values: dict[str, float | None], step: int = 0) -> None:
        known = {key: value for key, value in values.items() if value is not None}
        self._send({"event": "metrics", "values": known, "step": step})

    def finish(self, status: str = "FINISHED") -> None:
        self._send({"event": "finish", "status": status})
        self.close()

    def record(self, record: Record, path: Path, reported: float | None = None) -> None:
        """Adds the record to the latest MLflow run of these settings: final metrics, cost, the gap to the reported mAP, the file.

        Where there is none (a checkpoint scored as it is, a training from DVC's cache), a run is made.
        """
        mAP = record.selected.metrics["mAP"]
        values = {f"test.{key}": value for key, value in record.selected.metrics.items()}
        values["GMACs"] = record.cost.gmacs
        if reported is not None:
            values["reported.mAP"] = reported
        if reported is not None and mAP is not None:
            values["delta.mAP"] = mAP - reported

        self.metrics(values)
        self._send({"event": "artifact", "path": str(path.absolute())})
        self._send({"event": "finish", "status": "FINISHED"})
        self.close()

    def close(self) -> None:
        if self.spool:
            self.spool.close()
        self.spool = None

    def _send(self, event: dict) -> None:
        if self.off:
            return
        try:
            if self.spool is None:
                self.spool = spool.SpoolFile(self.name)
                self.spool.append(self._described())
            self.spool.append({**event, "session": self.session, "time": int(time.time() * 1000)})
            spool.start_writer()
        except OSError as error:  # a full disk, a folder without rights: none of it may stop a run
            self.off = True
            warnings.warn(
                f"MLflow tracking stopped for {self.run.run_id} seed {self.seed}: "
                f"{type(error).__name__}: {error}. The run goes on; history.csv and the record hold its "
                "results.",
                stacklevel=3,
            )

    def _described(self) -> dict:
        """The first line of a spool file: all that the writer must know to find or make the MLflow run."""
        # Without its password, for the spool is a file: the writer knows the rest (store.py).
        address = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{STORE.absolute()}")
        settings = _flat(self.run.model_dump(mode="json") | {"seed": self.seed})
        return {
            "event": "run",
            "store": without_secrets(address),
            "experiment": self.experiment,
            "name": self.name,
            "key": self.key,
            "tags": self.tags,
            "params": {key: str(value) for key, value in settings.items()},
        }


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
