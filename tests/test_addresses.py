"""No message, log or record shows who may get in: users, passwords and tokens of addresses."""

import json
import os
import subprocess
import sys
import time

import pytest
from conftest import LINEAR, ROOT, run_settings
from dvc.repo import Repo

from mlrepro.addresses import has_secrets, with_variables, without_secrets
from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.tracking import spool
from mlrepro.tracking.store import _with_secrets
from mlrepro.tracking.tracker import Tracker
from mlrepro_cli.launch.engines.attempts import Outcome
from mlrepro_cli.launch.pipeline import Job, default_remote
from mlrepro_cli.launch.schedule import Attempter, log_file

SECRET = "s3cr3tW0rd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:{0}@host/x", "https://host/x"),
        ("https://{0}@host:80/x?a=1", "https://host:80/x?a=1"),
        ("https://ann:a@{0}@host/x", "https://host/x"),
        ("https://ann:a/{0}@host/x", "https://host/x"),
        ("postgresql://ann:{0}@host/runs", "postgresql://host/runs"),
        ("cloning 'ssh://{0}@host/x' failed", "cloning 'ssh://host/x' failed"),
        ("https://host/x?token={0}&page=2", "https://host/x?token=...&page=2"),
        ("https://host/x?page=2&X-Amz-Signature={0}", "https://host/x?page=2&X-Amz-Signature=..."),
        ("https://host/x?%74oken={0}", "https://host/x?%74oken=..."),
        ("https://host/x?id={0}{0}", "https://host/x?id=..."),
        ("https://host/x#access_token={0}", "https://host/x#access_token=..."),
        ("no answer to /x?sig={0}", "no answer to /x?sig=..."),
        ("(https://host/x?key={0}), then", "(https://host/x?key=...), then"),
    ],
)
def test_secrets_are_hidden(text, shown):
    text = text.format(SECRET)
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown
    assert has_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8765/images.tar?2",
        "https://host:443/people/me@home/a.zip?download=1",
        "https://${ANN}:${WORD}@host/x?token=${TOKEN}",
        "git@host:ann/x.git",
        "train: loss = 0.5 (a@b), is it? yes=no",
    ],
)
def test_all_else_stays(text):
    assert without_secrets(text) == text
    assert not has_secrets(text)


@pytest.mark.parametrize("piece", ["a", "x.", "http://", "//a:", "//", "?a", "&k=:", "a:b", "@"])
def test_long_texts_take_no_time(piece):
    start = time.process_time()
    without_secrets("http://" + piece * 50_000 + " @")
    assert time.process_time() - start < 2


def test_variables_of_the_environment(monkeypatch):
    monkeypatch.setenv("WORD", SECRET)
    monkeypatch.delenv("ANN", raising=False)
    assert with_variables("https://host/${WORD}") == f"https://host/{SECRET}"
    with pytest.raises(InputError, match=r"https://\$\{ANN\}@host/.* no variable ANN; set it"):
        with_variables("https://${ANN}@host/${WORD}")


def test_logs_of_launched_jobs(tmp_path):
    printed = f"fatal: unable to access 'https://ann:{SECRET}@host/x?token={SECRET}'"
    attempter = Attempter(lambda job: Outcome(1, printed, "host"), 1, tmp_path)
    outcome = attempter.run(Job("train@run-0"))
    shown = "fatal: unable to access 'https://host/x?token=...'"
    assert outcome.error == shown
    assert log_file(tmp_path, "train@run-0").read_text() == shown


def test_the_address_of_a_dvc_remote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    config = (
        f"[core]\nno_scm = true\nremote = r\n['remote \"r\"']\nurl = https://ann:{SECRET}@host/x\n"
    )
    (tmp_path / ".dvc" / "config").write_text(config)
    with pytest.raises(InputError, match="one is https://host/x; name a folder"):
        default_remote()


STAGE = """
from mlrepro.errors import InputError
from mlrepro.stage import main

def stage():
    raise InputError("https://ann:s3cr3tW0rd@host/x?token=s3cr3tW0rd: no")

main(stage)
"""


def test_errors_of_stages():
    done = subprocess.run(
        [sys.executable, "-c", STAGE],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.stderr == "error: https://host/x?token=...: no\n"


def test_the_spool_holds_no_password(tmp_path, monkeypatch):
    """The writer, which has the same environment, knows it all the same."""
    uri = f"https://ann:{SECRET}@host/mlflow?token={SECRET}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLREPRO_TRACKING", raising=False)
    monkeypatch.setattr(spool, "start_writer", lambda: None)
    tracker = Tracker("experiment", Run(**run_settings(LINEAR)), 0, {})
    tracker.start(None)
    tracker.close()

    [file] = spool.unwritten()
    text = file.read_text()
    assert SECRET not in text
    store = json.loads(text.splitlines()[0])["store"]
    assert store == "https://host/mlflow?token=..."
    assert _with_secrets(store) == uri
    assert _with_secrets("sqlite:////x/mlflow.db") == "sqlite:////x/mlflow.db"
