"""MLflow's store, written to by the writer alone. Everything here may be done twice: it gives the same store."""

import os
from pathlib import Path

from mlrepro.addresses import without_secrets

ARTIFACTS = Path("mlartifacts")
KEY = "mlrepro.key"
SESSION = "mlrepro.session"


class Store:
    """Clients by address, and the MLflow runs that were found or made."""

    def __init__(self):
        self.clients: dict[str, object] = {}
        self.runs: dict[str, str] = {}

    def write(self, described: dict, events: list[dict]) -> None:
        """Writes events of the run that a spool file's first line describes."""
        for event in events:
            if event["event"] != "run":
                self._write(described, event)

    def _write(self, described: dict, event: dict) -> None:
        client = self._client(described["store"])
        run_id = self._run_id(described, event["session"])
        kind = event["event"]
        if kind == "start":
            client.update_run(run_id, status="RUNNING")
        elif kind == "metrics":
            from mlflow.entities import Metric

            metrics = [
                Metric(key, value, event["time"], event["step"])
                for key, value in event["values"].items()
            ]
            client.log_batch(run_id, metrics=metrics)
        elif kind == "artifact":
            client.log_artifact(run_id, event["path"])
        elif kind == "finish":
            client.set_terminated(run_id, event["status"])

    def _client(self, address: str):
        from mlflow import MlflowClient

        if address not in self.clients:
            self.clients[address] = MlflowClient(_with_secrets(address))
        return self.clients[address]

    def _run_id(self, described: dict, session: str | None) -> str:
        """The MLflow run of a session; without one the latest of the same run, seed and settings. Made where there is none."""
        if session is None:
            return self._find_or_create(described, None)
        if session not in self.runs:
            self.runs[session] = self._find_or_create(described, session)
        return self.runs[session]

    def _find_or_create(self, described: dict, session: str | None) -> str:
        from mlflow.entities import Param

        run_id = self._find(described, session) or self._create(described, session)
        # Also where a killed writer had made the run and no more.
        params = [Param(key, value) for key, value in described["params"].items()]
        self._client(described["store"]).log_batch(run_id, params=params)
        return run_id

    def _find(self, described: dict, session: str | None) -> str | None:
        tag, value = (SESSION, session) if session else (KEY, described["key"])
        found = self._client(described["store"]).search_runs(
            [self._experiment(described)],
            f"tags.`{tag}` = '{value}'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        return found[0].info.run_id if found else None

    def _create(self, described: dict, session: str | None) -> str:
        client = self._client(described["store"])
        tags = {**described["tags"], KEY: described["key"], SESSION: session or ""}
        created = client.create_run(
            self._experiment(described), run_name=described["name"], tags=tags
        )
        return created.info.run_id

    def _experiment(self, described: dict) -> str:
        client, name = self._client(described["store"]), described["experiment"]
        experiment = client.get_experiment_by_name(name)
        if experiment:
            return experiment.experiment_id
        return client.create_experiment(
            name, artifact_location=(ARTIFACTS / name).absolute().as_uri()
        )


def _with_secrets(address: str) -> str:
    """The address with user, password and token, where the environment tells them."""
    own = os.environ.get("MLFLOW_TRACKING_URI", "")
    return own if without_secrets(own) == address else address
