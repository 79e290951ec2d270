"""Stores of MLflow that cannot be written to: nothing is lost, and what to do is said."""

import os
import re
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from test_tracking import (  # noqa: F401 (fixtures)
    EXPERIMENT,
    by_hand,
    client_of,
    entry,
    evaluate,
    folder,
    metrics_in,
    metrics_of,
    runs_of,
    train,
    write,
)

from mlrepro.tracking import spool

STORE = Path("mlflow.db")


def write_in_a_process() -> bool:
    """As the writer is one: MLflow keeps a store open for as long as its process lives."""
    process = os.fork()
    if process == 0:
        os._exit(0 if write() else 1)
    _, status = os.waitpid(process, 0)
    return status == 0


def of_an_older_mlflow() -> None:
    with sqlite3.connect(STORE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")


def of_a_newer_mlflow() -> None:
    with sqlite3.connect(STORE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


def of_something_else() -> None:
    STORE.unlink()
    with sqlite3.connect(STORE) as connection:
        connection.execute("CREATE TABLE runs (a INTEGER)")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('x')")


def without_a_table() -> None:
    with sqlite3.connect(STORE) as connection:
        connection.execute("DROP TABLE metrics")


def cut_off() -> None:
    content = STORE.read_bytes()
    STORE.write_bytes(content[: len(content) // 3])


def overwritten_in_the_middle() -> None:
    with STORE.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)


def a_folder() -> None:
    STORE.unlink()
    STORE.mkdir()


DAMAGES = {
    of_an_older_mlflow: "mlflow db upgrade",
    of_a_newer_mlflow: "ffffffffffff",
    of_something_else: "Can't locate revision|no column named",
    without_a_table: "no such table: metrics|no column named",
    cut_off: "malformed",
    overwritten_in_the_middle: "malformed|not a database|disk image",
    a_folder: "no regular file; move it away",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_store_that_is_damaged_keeps_all_waiting(by_hand, damage: Callable):  # noqa: F811
    whole = Path("whole.db")
    shutil.copy(STORE, whole)
    damage()
    train(range(2))

    assert not write_in_a_process()
    problem = spool.problem()
    assert problem and "\n" not in problem
    assert re.search(DAMAGES[damage], problem), problem
    assert len(spool.unwritten()) == 1

    # Mended by hand: what has waited is written.
    if STORE.is_dir():
        STORE.rmdir()
    shutil.copy(whole, STORE)
    assert write_in_a_process()
    assert metrics_in(by_hand) == metrics_of([entry(0), entry(1)])
    assert spool.problem() is None


@pytest.fixture
def silent_server(monkeypatch):
    """A server that takes every request and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)

        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        # As the writer has it, but shorter.
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        yield
        for connection in held:
            connection.close()


def test_a_server_that_does_not_answer(by_hand, silent_server):  # noqa: F811
    train(range(2))
    assert not write()
    assert "Read timed" in spool.problem()
    assert len(spool.unwritten()) == 1


def test_a_server_does_not_hold_up_another_store(by_hand, silent_server, monkeypatch):  # noqa: F811
    train(range(1))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    train(range(2))
    assert not write()
    assert metrics_in(by_hand) == metrics_of([entry(0), entry(1)])
    assert len(spool.unwritten()) == 1


def test_a_checkout_that_was_moved(by_hand, tmp_path, monkeypatch):  # noqa: F811
    """MLflow keeps where files are as an absolute path: nothing is written there any more."""
    train(range(1))
    evaluate()
    assert write()
    assert (by_hand / "mlartifacts" / EXPERIMENT).is_dir()

    moved = tmp_path / "moved"
    by_hand.rename(moved)
    monkeypatch.chdir(moved)
    evaluate()
    train(range(2))
    evaluate()
    assert write()
    assert not by_hand.exists()
    assert spool.unwritten() == []
    runs = runs_of(client_of(moved))
    assert [run.info.status for run in runs] == ["FINISHED"] * len(runs)
