"""MLflow with a real SQLite store: what a user sees, and that none of its failures stops a run."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import forks
import numpy as np
import pytest
import yaml
from conftest import (
    LINEAR,
    PATIENCE,
    ROOT,
    SIX_DIGITS,
    free_port,
    run_settings,
    small_disk,
    write_yaml,
)
from mlflow import MlflowClient

from mlrepro.records import read_record, read_records
from mlrepro.settings.run import Run
from mlrepro.tracking import Tracker, spool, tracker, writer
from mlrepro_cli.main import main

RUN = Run.model_validate(run_settings(LINEAR))
OTHER_SETTINGS = Run.model_validate(run_settings(LINEAR, epochs=4))
EXPERIMENT = "demo/digits"
ENTRY = {"epoch": 0, "lr": 1e-3, "train_loss": 0.5, "val_mAP": 50.0}
BEHIND = "MLflow is behind: .*; what it misses waits in .checkpoints/tracking"


def entry(epoch: int) -> dict:
    return ENTRY | {"epoch": epoch, "val_mAP": 50.0 + epoch}


# Seconds in which is done what waits for nobody: MLflow, asked in vain, goes on for longer.
AT_ONCE = 5


def drain() -> list[Path]:
    return spool.drain(seconds=PATIENCE)


def wait_for(state: Callable) -> None:
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


# ---- Stores and writers ------------------------------------------------------------------------


def writers(folder: Path) -> list[int]:
    """Process numbers of the writers that run in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            # Of a folder that is gone, /proc says so behind its name.
            at_work_in = os.readlink(process / "cwd").removesuffix(" (deleted)")
        except OSError:
            continue
        if b"mlrepro.tracking.writer" in command and at_work_in == str(folder):
            found.append(int(process.name))
    return found


def end_writers(folder: Path) -> None:
    for process in writers(folder):
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the present one. No writer outlives the test."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLREPRO_TRACKING")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield folder
    end_writers(folder)


@pytest.fixture
def by_hand(folder, empty_store, monkeypatch):
    """No writer is started: the test writes with `write`."""
    shutil.copy(empty_store, folder)
    monkeypatch.setattr(spool, "start_writer", lambda *_: None)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0)
    return folder


@pytest.fixture
def tracked(repository, monkeypatch):
    """A repository whose stages track."""
    monkeypatch.delenv("MLREPRO_TRACKING")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield repository
    end_writers(repository)


def write() -> bool:
    """What a writer does that was started now, in this process."""
    return writer.write_until_idle(spool.SPOOL, idle=0)


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def runs_of(client: MlflowClient) -> list:
    """The oldest first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])


def metrics_in(folder: Path) -> list[tuple[str, int, float]]:
    """As the database has them: a metric that was written twice would be here twice."""
    with sqlite3.connect(folder / "mlflow.db") as connection:
        return sorted(connection.execute("SELECT key, step, value FROM metrics"))


def metrics_of(entries: list[dict]) -> list[tuple[str, int, float]]:
    rows = []
    for values in entries:
        keys = [key for key in values if key != "epoch"]
        rows += [(key, values["epoch"], values[key]) for key in keys]
    return sorted(rows)


def train(epochs: range, run: Run = RUN, session: str | None = None) -> str:
    """Tells of a training that ends well; returns its session."""
    training = Tracker(EXPERIMENT, run, 0, {})
    session = training.start(session)
    for epoch in epochs:
        training.epoch(entry(epoch))
    training.finish()
    time.sleep(0.002)  # MLflow counts milliseconds, and two trainings begin apart
    return session


def made_up_record(name: str = "record.json"):
    """As much of a record as tracking reads, and its file."""
    Path(name).write_text("{}")
    selected = type("Measurement", (), {"metrics": {"mAP": 60.0, "CF1": None}})
    cost = type("Cost", (), {"gmacs": 1.5})
    return type("Record", (), {"selected": selected, "cost": cost}), Path(name)


def evaluate(run: Run = RUN, reported: float | None = None) -> None:
    Tracker(EXPERIMENT, run, 0, {}).record(*made_up_record(), reported)


# ---- What a user sees --------------------------------------------------------------------------


def test_a_run_from_training_to_evaluation(tracked, monkeypatch):
    for name in ("train", "evaluate"):
        forks.run(f"stages/{name}.py", "params.yaml", LINEAR, "0", folder=tracked)
    monkeypatch.chdir(tracked)
    assert drain() == []
    record_path = tracked / "results" / "digits" / f"{LINEAR}-s0.json"
    record = read_record(record_path)

    client = client_of(tracked)
    [run] = runs_of(client)
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
    kept = (
        tracked / "mlartifacts" / EXPERIMENT / run.info.run_id / "artifacts" / f"{LINEAR}-s0.json"
    )
    assert kept.read_bytes() == record_path.read_bytes()

    # A training that is run again gives the same files: MLflow's ids are in neither.
    training = tracked / "outputs" / "demo" / "digits" / f"{LINEAR}-s0" / "training"
    for path in (record_path, training / "training.json"):
        text = path.read_text()
        assert "mlflow" not in text
        assert run.info.run_id not in text


def test_each_run_that_a_search_keeps(tracked, monkeypatch):
    """One MLflow run a loss and seed, with the history of the grid point that was chosen."""
    settings = yaml.safe_load((tracked / "params.yaml").read_text())
    settings["search"] = {
        "losses": [{"name": "bce"}, {"name": "asl"}],
        "learning_rates": [1e-2, 1e-4],
        "batch_sizes": [16],
        "epochs": 2,
        "seeds": [0, 1],
    }
    write_yaml(tracked / "params.yaml", settings)
    forks.run("stages/search.py", "params.yaml", folder=tracked)
    monkeypatch.chdir(tracked)
    assert drain() == []

    client = client_of(tracked)
    runs = {run.info.run_name: run for run in runs_of(client)}
    records = [
        record for group in read_records(Path("results/digits")).values() for record in group
    ]
    assert len(records) == 4
    assert set(runs) == {record.name for record in records}

    for record in records:
        run = runs[record.name]
        assert run.info.status == "FINISHED"
        assert run.data.tags["stage"] == "dvc.yaml:search"
        assert run.data.params["optimizer.lr"] == str(record.run.optimizer.lr)
        mAP = record.selected.metrics["mAP"]
        assert run.data.metrics["test.mAP"] == pytest.approx(mAP, rel=SIX_DIGITS)

        points = client.get_metric_history(run.info.run_id, "val_mAP")
        recorded = [epoch.val_mAP for epoch in record.history]
        assert [point.value for point in points] == pytest.approx(recorded, rel=SIX_DIGITS)


def test_scores_from_outside_are_logged_as_a_run_is(by_hand, monkeypatch):
    random = np.random.default_rng(0)
    names = {"ids": np.array(["a", "b", "c", "d"]), "classes": np.array(["cat", "dog", "owl"])}
    np.savez("labels.npz", labels=np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]), **names)
    np.savez("scores.npz", scores=random.random((4, 3)), **names)
    arguments = ["audit", "scores.npz", "--labels", "labels.npz", "--data", "pets"]
    arguments += ["--reported", "50.0", "--record", "mine.json", "--link", "https://example.org"]
    monkeypatch.setattr(sys, "argv", ["mlrepro", *arguments])
    assert main() == 0
    assert write()

    client = client_of(by_hand)
    experiment = client.get_experiment_by_name("audit/pets")
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("scores-s0", "FINISHED")
    assert run.data.tags["origin"] == "external"
    assert run.data.tags["source"] == "https://example.org"
    assert run.data.params["protocol.difficult"] == "ignored"
    mAP = read_record(Path("mine.json")).selected.metrics["mAP"]
    assert run.data.metrics["test.mAP"] == pytest.approx(mAP, rel=SIX_DIGITS)
    assert run.data.metrics["delta.mAP"] == pytest.approx(mAP - 50, abs=1e-3)
    artifacts = client.list_artifacts(run.info.run_id)
    assert [artifact.path for artifact in artifacts] == ["mine.json"]


def test_a_killed_training_is_running_and_goes_on_in_its_run(by_hand):
    killed = Tracker(EXPERIMENT, RUN, 0, {})
    session = killed.start(None)
    killed.epoch(entry(0))
    killed.spool.close()  # as the system closes what a killed process had open
    assert write()
    client = client_of(by_hand)
    [run] = runs_of(client)
    assert run.info.status == "RUNNING"

    assert train(range(1, 3), session=session) == session
    assert write()
    [finished] = runs_of(client)
    assert finished.info.run_id == run.info.run_id
    assert finished.info.status == "FINISHED"
    points = client.get_metric_history(run.info.run_id, "val_mAP")
    assert [point.step for point in points] == [0, 1, 2]


def test_another_training_of_the_same_settings_is_another_run_and_the_latest_is_evaluated(by_hand):
    train(range(1))
    train(range(1))
    train(range(1), run=OTHER_SETTINGS)
    assert write()
    ended = [run.info.end_time for run in runs_of(client_of(by_hand))]

    evaluate(reported=58.0)
    assert write()
    first, second, other = runs_of(client_of(by_hand))
    assert "test.mAP" not in first.data.metrics
    assert "test.mAP" not in other.data.metrics
    evaluated = {
        key: second.data.metrics[key] for key in ("test.mAP", "GMACs", "reported.mAP", "delta.mAP")
    }
    assert evaluated == {"test.mAP": 60, "GMACs": 1.5, "reported.mAP": 58, "delta.mAP": 2}
    assert "test.CF1" not in second.data.metrics  # is undefined

    # What a training took does not change by its evaluation.
    assert [run.info.end_time for run in (first, second, other)] == ended


def test_an_evaluation_makes_the_run_that_no_training_made(by_hand):
    evaluate()
    evaluate()
    assert write()
    [run] = runs_of(client_of(by_hand))
    assert run.info.status == "FINISHED"
    assert run.data.params["loss.name"] == "bce"


def test_a_training_that_fails(by_hand):
    before_its_start = Tracker(EXPERIMENT, RUN, 0, {})
    before_its_start.finish("FAILED")
    assert spool.spooled() == []

    failing = Tracker(EXPERIMENT, RUN, 0, {})
    failing.start(None)
    failing.finish("FAILED")
    assert write()
    assert [run.info.status for run in runs_of(client_of(by_hand))] == ["FAILED"]


class SlowClock:
    """Set back by an hour each time that somebody looks at it."""

    def __init__(self):
        self.now = time.time_ns()

    def time_ns(self) -> int:
        self.now -= 3600 * 10**9
        return self.now

    def time(self) -> float:
        return self.time_ns() / 1e9


def test_a_clock_that_is_set_back_changes_no_order(by_hand, monkeypatch):
    """An evaluation is of the training before it, whatever the clock says of either."""
    clock = SlowClock()
    monkeypatch.setattr(spool.time, "time_ns", clock.time_ns)
    monkeypatch.setattr(tracker.time, "time", clock.time)
    first = train(range(1))
    second = train(range(2))
    evaluate()
    assert write()
    evaluated = [run for run in runs_of(client_of(by_hand)) if "test.mAP" in run.data.metrics]
    assert [run.data.tags["mlrepro.session"] for run in evaluated] == [second]
    assert len(runs_of(client_of(by_hand))) == 2

    # A third training, whose events alone are in the spool.
    third = train(range(1))
    assert write()
    evaluate()
    assert write()
    evaluated = [run for run in runs_of(client_of(by_hand)) if "test.mAP" in run.data.metrics]
    assert [run.data.tags["mlrepro.session"] for run in evaluated] == [second, third]
    assert len({first, second, third}) == 3


def test_a_note_of_the_store_that_is_damaged(by_hand):
    """What the store has already is written again, and is there once."""
    running = Tracker(EXPERIMENT, RUN, 0, {})
    running.start(None)
    running.epoch(entry(0))
    assert write()
    [offset] = spool.SPOOL.glob("*.offset")
    offset.write_text("")
    running.epoch(entry(1))
    running.finish()
    assert write()
    assert metrics_in(by_hand) == metrics_of([entry(0), entry(1)])


def test_times_are_those_of_the_events(by_hand, monkeypatch):
    clock = iter([1000, 1060, 1120])
    with monkeypatch.context() as patch:
        patch.setattr(tracker.time, "time", lambda: next(clock))
        train(range(1))
    assert write()
    [run] = runs_of(client_of(by_hand))
    assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_120_000)


def test_switched_off(folder, monkeypatch):
    monkeypatch.setenv("MLREPRO_TRACKING", "none")
    off = Tracker(EXPERIMENT, RUN, 0, {})
    assert off.start(None) is None
    assert off.start("of an earlier process") == "of an earlier process"
    off.epoch(ENTRY)
    off.finish()
    assert list(folder.iterdir()) == []


# ---- The writer's process ----------------------------------------------------------------------


def test_a_training_is_visible_while_it_trains_whatever_happens_to_the_store(folder):
    running = Tracker(EXPERIMENT, RUN, 0, {})
    running.start(None)
    running.epoch(entry(0))
    assert drain() == []
    [process] = writers(folder)
    assert metrics_in(folder) == metrics_of([entry(0)])

    # A locked store: the training does not wait, the writer does.
    with sqlite3.connect("mlflow.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        start = time.perf_counter()
        running.epoch(entry(1))
        assert time.perf_counter() - start < AT_ONCE
        time.sleep(2 * writer.POLL_SECONDS)
        connection.execute("ROLLBACK")
    wait_for(lambda: metrics_in(folder) == metrics_of([entry(0), entry(1)]))
    assert writers(folder) == [process]

    # A store that is thrown away: a new one begins with what comes, in a new writer.
    Path("mlflow.db").unlink()
    running.finish()
    train(range(2), run=OTHER_SETTINGS)
    assert drain() == []
    assert len(runs_of(client_of(folder))) == 2
    assert metrics_in(folder) == metrics_of([entry(0), entry(1)])

    # A repository that is thrown away: its writer goes, too.
    shutil.rmtree(folder)
    wait_for(lambda: not writers(folder))


def test_it_ends_when_nothing_comes(by_hand):
    train(range(1))
    start = time.monotonic()
    assert writer.write_until_idle(spool.SPOOL, idle=0.5)
    assert time.monotonic() - start >= 0.5
    assert spool.spooled() == []


TRAIN = """
import json, sys
from mlrepro.settings.run import Run
from mlrepro.tracking import Tracker

experiment, run = sys.argv[1:]
training = Tracker(experiment, Run.model_validate_json(run), 0, {})
sys.stdin.readline()  # all begin at once
print(training.start(None))
for line in sys.stdin:
    training.epoch(json.loads(line))
training.finish()
"""


def test_several_processes_and_a_fresh_store_at_once(folder):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, EXPERIMENT, RUN.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "MLREPRO_TRACKING": ""},
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("begin\n")
        for epoch in range(3):
            process.stdin.write(json.dumps(entry(epoch)) + "\n")
        process.stdin.close()
    sessions = {process.stdout.read().strip() for process in processes}
    assert {process.wait() for process in processes} == {0}
    assert len(sessions) == 4
    assert len(writers(folder)) == 1

    assert drain() == []
    runs = runs_of(client_of(folder))
    assert {run.data.tags["mlrepro.session"] for run in runs} == sessions
    assert metrics_in(folder) == metrics_of(4 * [entry(epoch) for epoch in range(3)])


def test_a_killed_writer_loses_nothing(by_hand):
    """At random moments of its work: the next one writes what is left, and nothing twice."""
    draw = random.Random(0)
    trainings = 12
    for number in range(trainings):
        train(range(20), run=RUN.model_copy(update={"epochs": 20 + number}))
        process = os.fork()
        if process == 0:
            writer.write_until_idle(spool.SPOOL, idle=60)
            os._exit(0)
        time.sleep(draw.uniform(0, 0.4))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)

    assert write()
    assert spool.spooled() == []
    runs = runs_of(client_of(by_hand))
    assert len(runs) == trainings
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.params["loss.name"] for run in runs} == {"bce"}
    entries = [entry(epoch) for epoch in range(20)]
    assert metrics_in(by_hand) == metrics_of(trainings * entries)


@pytest.mark.parametrize("seconds", [0.3, 0.9])
def test_a_writer_killed_while_it_makes_the_store(by_hand, seconds):
    """It leaves none, or a whole one: MLflow cannot go on with the half of its tables."""
    Path("mlflow.db").unlink()
    train(range(2))
    process = os.fork()
    if process == 0:
        writer.write_until_idle(spool.SPOOL, idle=60)
        os._exit(0)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)

    assert write()
    assert metrics_in(by_hand) == metrics_of([entry(0), entry(1)])


def test_a_server(folder, monkeypatch):
    """A real `mlflow server`, which is away first: nothing waits for it, and it gets all."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # of GenAI: five processes
    start = time.perf_counter()
    train(range(3))
    assert time.perf_counter() - start < AT_ONCE
    wait_for(lambda: spool.problem())
    end_writers(folder)
    with pytest.warns(UserWarning, match=BEHIND):
        evaluate()

    arguments = ["--port", str(port), "--workers", "1", "--backend-store-uri", "sqlite:///s.db"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        client = MlflowClient(address)
        wait_for(lambda: answers(port))
        assert drain() == []
        assert spool.problem() is None
        [run] = runs_of(client)
        assert run.data.metrics["test.mAP"] == 60
        assert len(client.get_metric_history(run.info.run_id, "val_mAP")) == 3
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["record.json"]
        # Its files are where the server keeps them.
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(port: int) -> bool:
    import requests

    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


# ---- What fails --------------------------------------------------------------------------------


def test_a_broken_store_becomes_one_warning_and_the_run_finishes(tracked, monkeypatch):
    monkeypatch.chdir(tracked)
    Path("mlflow.db").write_bytes(b"this is no database" * 100)
    write_yaml(tracked / "runs" / f"{LINEAR}.yaml", run_settings(LINEAR, epochs=2))

    printed = forks.run("stages/train.py", "params.yaml", LINEAR, "0", folder=tracked)
    assert "best validation mAP" in printed
    wait_for(lambda: spool.problem())
    assert "file is not a database" in spool.problem()
    end_writers(tracked)

    # The next stage says it, once, and does not try again so soon.
    printed = forks.run("stages/evaluate.py", "params.yaml", LINEAR, "0", folder=tracked)
    assert printed.count("MLflow is behind: ") == 1
    assert "test mAP" in printed
    assert writers(tracked) == []

    # Who has mended the store writes what has waited.
    Path("mlflow.db").unlink()
    drain = [sys.executable, "-m", "mlrepro.tracking.writer", "--drain"]
    done = subprocess.run(drain, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    [run] = runs_of(client_of(tracked))
    record = read_record(tracked / "results" / "digits" / f"{LINEAR}-s0.json")
    mAP = record.selected.metrics["mAP"]
    assert run.data.metrics["test.mAP"] == pytest.approx(mAP, rel=SIX_DIGITS)
    assert len(MlflowClient.get_metric_history(client_of(tracked), run.info.run_id, "lr")) == 2


def test_without_mlflow_all_waits_until_it_is_there(by_hand, monkeypatch, capsys):
    train(range(2))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        patch.delitem(sys.modules, "mlrepro.tracking.store", raising=False)
        assert not write()
    assert spool.problem().startswith("ModuleNotFoundError: ")

    monkeypatch.setattr(sys, "argv", ["writer", "--drain"])
    monkeypatch.setattr(spool, "drain", lambda _: spool.unwritten())
    with pytest.raises(SystemExit, match=r"^MLflow is behind: ModuleNotFoundError: .*mlflow"):
        writer.main()

    assert write()
    assert spool.problem() is None
    assert metrics_in(by_hand) == metrics_of([entry(0), entry(1)])


def test_no_second_writer_within_a_minute_of_a_failure(folder, monkeypatch):
    started = []
    monkeypatch.setattr(spool, "_start", lambda *_: started.append(1))
    train(range(0))
    assert started  # at every event, since none of them holds the lock

    started.clear()
    problem = spool.SPOOL / spool.PROBLEM
    problem.write_text("OSError: away")
    with pytest.warns(UserWarning, match=BEHIND):
        train(range(0))
    assert not started

    a_minute_ago = time.time() - spool.PAUSE_SECONDS
    os.utime(problem, (a_minute_ago, a_minute_ago))
    with pytest.warns(UserWarning, match=BEHIND):
        train(range(0))
    assert started


def test_a_stage_warns_once_of_a_store_that_is_behind(by_hand):
    spool.SPOOL.mkdir(parents=True)
    (spool.SPOOL / spool.PROBLEM).write_text("OSError: away")
    with pytest.warns(UserWarning, match=BEHIND) as caught:
        training = Tracker(EXPERIMENT, RUN, 0, {})
        training.start(None)
        training.epoch(ENTRY)
        training.finish()
        training.record(*made_up_record())
    assert len(caught) == 1


@pytest.mark.parametrize("acknowledge", ["written", "remove"])
def test_nothing_is_shown_as_written_beside_an_old_problem(by_hand, monkeypatch, acknowledge):
    """Whoever waits until all is written, and then asks for the problem, must not get the old."""
    problems = []
    original = getattr(spool.Spooled, acknowledge)

    def watched(file: spool.Spooled, *arguments) -> None:
        problems.append(spool.problem())
        original(file, *arguments)

    monkeypatch.setattr(spool.Spooled, acknowledge, watched)
    training = Tracker(EXPERIMENT, RUN, 0, {})
    training.start(None)
    training.epoch(ENTRY)
    if acknowledge == "remove":
        training.finish()
    (spool.SPOOL / spool.PROBLEM).write_text("OSError: away")

    assert write()
    assert problems == [None]


def full_disk(descriptor: int, line: bytes) -> int:
    """os.write on a disk that takes the half of it."""
    return len(line) // 2


def test_a_real_disk_that_fills_up_costs_what_does_not_fit_and_no_training(by_hand):
    with small_disk(spool.SPOOL, 16_000):
        with pytest.warns(UserWarning, match="tracking stopped .* No space left on device"):
            train(range(1000))
        assert write()

        # What was whole is written, in order, and there is room for the next training.
        told = [point[1] for point in metrics_in(by_hand) if point[0] == "val_mAP"]
        assert told == list(range(len(told)))
        assert 10 < len(told) < 1000
        train(range(2), run=OTHER_SETTINGS)
        assert write()
    assert len(runs_of(client_of(by_hand))) == 2
    assert len(metrics_in(by_hand)) == 3 * len(told) + 6


@pytest.mark.parametrize("failure", ["the disk is full", "the folder cannot be written to"])
def test_a_spool_that_cannot_be_written_to_becomes_one_warning(by_hand, failure, monkeypatch):
    if failure == "the disk is full":
        monkeypatch.setattr(spool.os, "write", full_disk)
    else:
        Path(".checkpoints").write_text("in the folder's place")

    training = Tracker(EXPERIMENT, RUN, 0, {})
    with pytest.warns(UserWarning, match="MLflow tracking stopped for .* seed 0: .* The run goes"):
        assert training.start(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training.epoch(ENTRY)
        training.finish()
    assert spool.spooled() == []


def test_a_disk_that_fills_up_keeps_what_it_has(by_hand, monkeypatch):
    training = Tracker(EXPERIMENT, RUN, 0, {})
    training.start(None)
    training.epoch(entry(0))
    real_write = os.write

    def fills_up(descriptor: int, line: bytes) -> int:
        return real_write(descriptor, line[: len(line) // 2])

    monkeypatch.setattr(spool.os, "write", fills_up)
    with pytest.warns(UserWarning, match="tracking stopped .* No space left on device"):
        training.epoch(entry(1))
    monkeypatch.setattr(spool.os, "write", real_write)
    training.epoch(entry(2))
    training.finish()
    assert write()
    assert metrics_in(by_hand) == metrics_of([entry(0)])


def test_what_the_store_refuses_is_put_aside_and_holds_up_nothing(by_hand):
    refused = Tracker(EXPERIMENT, RUN, 0, {})
    refused.start(None)
    refused._metrics({"a name with *": 1.0})
    refused.close()
    damaged = spool.SpoolFile("damaged", {})
    damaged.close()
    damaged.path.write_text('{"store": \n')
    train(range(1))

    assert write()
    assert metrics_in(by_hand) == metrics_of([entry(0)])
    assert len(list(spool.SPOOL.glob("*.refused"))) == 2
    assert spool.unwritten() == []
    assert spool.problem()

    # A later writer, perhaps of another version, tries again.
    spool.retry_refused()
    assert len(spool.unwritten()) == 2
