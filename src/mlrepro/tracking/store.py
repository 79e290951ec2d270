"""MLflow's store, written to by the writer alone. To write something twice changes nothing."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from mlrepro.addresses import without_secrets

ARTIFACTS = Path("mlartifacts")
SQLITE = "sqlite:///"
# Tags of an MLflow run: of which run, seed and settings it is, and of which session (none: empty).
KEY = "mlrepro.key"
SESSION = "mlrepro.session"
# Of one request, as MLflow limits them.
METRICS = 1000
PARAMS = 100

# What comes of the events themselves: another attempt would end the same.
REFUSED = ("INVALID_PARAMETER_VALUE", "INVALID_STATE")


def is_refusal(error: Exception) -> bool:
    """Whether the store can be written to and will not have this; else it cannot be."""
    if isinstance(error, MlflowException):
        return error.error_code in REFUSED
    return isinstance(error, ValueError | KeyError)  # a spool file that is damaged


@dataclass
class Stores:
    """Clients by address, and the MLflow runs by spool file that were found or made.

    files: of SQLite stores, what tells a file from another in its place.
    """

    clients: dict[str, MlflowClient] = field(default_factory=dict)
    files: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, described: dict, events: list[dict]) -> None:
        """Writes events of the spool file `name`, whose first line is `described`."""
        client = self._client(described["store"])
        if name not in self.runs:
            self.runs[name] = _find_or_create(client, described, events[0])
        run_id = self.runs[name]

        kinds = {kind: [] for kind in ("start", "metrics", "file", "finish")}
        for event in events:
            kinds[event["event"]].append(event)

        if kinds["start"]:
            client.update_run(run_id, status="RUNNING")
        metrics = [metric for event in kinds["metrics"] for metric in _metrics(event)]
        for first in range(0, len(metrics), METRICS):
            client.log_batch(run_id, metrics=metrics[first : first + METRICS])
        if kinds["file"] and not _is_of_another_checkout(client.get_run(run_id)):
            for event in kinds["file"]:
                client.log_text(run_id, event["text"], event["name"])
        for event in kinds["finish"]:
            _finish(client, run_id, event)

    def forget_runs(self) -> None:
        """After an error: somebody may have deleted them."""
        self.runs.clear()

    def is_replaced(self) -> bool:
        """Whether a SQLite file is no longer that which was opened.

        What is written then goes nowhere, and this process cannot open the new one.
        """
        return any(_file_identity(address) != known for address, known in self.files.items())

    def _client(self, address: str) -> MlflowClient:
        if address not in self.clients:
            _create_if_absent(address)
            self.clients[address] = _open(_with_secrets(address))
            self.files[address] = _file_identity(address)
        return self.clients[address]


def _open(address: str) -> MlflowClient:
    client = MlflowClient(address)
    client.search_experiments(max_results=1)  # MLflow opens a store when it is first used
    return client


def _create_if_absent(address: str) -> None:
    """Makes a SQLite store under another name, and names it once it is whole.

    MLflow makes its tables in steps of seconds: a writer killed in between, or somebody who opens
    the file meanwhile, would break it for good.
    """
    if not address.startswith(SQLITE):
        return
    path = Path(address.removeprefix(SQLITE))
    if path.exists():
        # MLflow would try for minutes to open anything else.
        if not path.is_file():
            raise OSError(f"{path}: no regular file; move it away")
        return

    unfinished = path.with_name(path.name + ".new")
    for left_over in path.parent.glob(unfinished.name + "*"):
        left_over.unlink()
    _open(f"{SQLITE}{unfinished}")
    unfinished.rename(path)


def _with_secrets(address: str) -> str:
    """The address with user, password and token, where the environment tells them."""
    own = os.environ.get("MLFLOW_TRACKING_URI", "")
    return own if without_secrets(own) == address else address


def _file_identity(address: str) -> tuple[int, int] | None:
    """None: of no file, or of one that is gone."""
    try:
        status = os.stat(address.removeprefix(SQLITE))
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_of_another_checkout(run: MlflowRun) -> bool:
    """Whether MLflow would put its files into one that this was moved or copied from.

    A store has absolute paths, and keeps them. The files, which are records, are in git as well.
    """
    address = urlsplit(run.info.artifact_uri)
    path = Path(url2pathname(address.path))
    is_ours = address.scheme in ("", "file") and ARTIFACTS.name in path.parts
    return is_ours and not path.is_relative_to(Path.cwd())


def _metrics(event: dict) -> list[Metric]:
    return [
        Metric(key, value, event["time"], event["step"]) for key, value in event["values"].items()
    ]


def _finish(client: MlflowClient, run_id: str, event: dict) -> None:
    if event["session"] is None:
        # An evaluation ends the run that it made, and leaves the duration of a training alone.
        run = client.get_run(run_id)
        if run.data.tags.get(SESSION) or run.info.status != "RUNNING":
            return
    client.set_terminated(run_id, event["status"], end_time=event["time"])


# ---- Runs and experiments ----------------------------------------------------------------------


def _find_or_create(client: MlflowClient, described: dict, first: dict) -> str:
    """The run of the session of the event `first`.

    Without one, the latest of the same run, seed and settings.
    """
    session = first["session"]
    experiment_id = _experiment_id(client, described)
    run = _find(client, experiment_id, described["key"], session)
    if run is None:
        tags = {**described["tags"], KEY: described["key"], SESSION: session or ""}
        # An evaluation looks for the latest: what is made last begins last, whatever clocks say.
        earlier = _find(client, experiment_id, described["key"], session=None)
        start = max(first["time"], earlier.info.start_time + 1 if earlier else 0)
        run = client.create_run(
            experiment_id, start_time=start, run_name=described["name"], tags=tags
        )

    # Also of a run that was found: a killed writer may have made it and no more.
    params = [Param(key, value) for key, value in described["params"].items()]
    for start in range(0, len(params), PARAMS):
        client.log_batch(run.info.run_id, params=params[start : start + PARAMS])
    return run.info.run_id


def _find(
    client: MlflowClient, experiment_id: str, key: str, session: str | None
) -> MlflowRun | None:
    tag, value = (SESSION, session) if session else (KEY, key)
    runs = client.search_runs(
        [experiment_id],
        f"tags.`{tag}` = '{value}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0] if runs else None


def _experiment_id(client: MlflowClient, described: dict) -> str:
    name = described["experiment"]
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        experiment = _create_experiment(client, described["store"], name)
    return experiment.experiment_id


def _create_experiment(client: MlflowClient, address: str, name: str) -> Experiment:
    # A server knows where its files are; those of a store in this folder are in this folder.
    location = None
    if address.startswith(SQLITE):
        location = (ARTIFACTS / name).absolute().as_uri()
    try:
        client.create_experiment(name, artifact_location=location)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another machine was faster
            raise
    return client.get_experiment_by_name(name)
