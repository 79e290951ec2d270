"""kill -9 and run again; changed settings; a loss that is not finite; two processes on one run."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import LINEAR, PICTURES, ROLE, run_settings, stage, write_yaml

from mlrepro.training.checkpoint import training_code

OFF = {"MLREPRO_TRACKING": "none"}


def start(repository, run_id: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "stages/train.py", "params.yaml", run_id, "0"],
        cwd=repository,
        env={**os.environ, **OFF},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def results(repository, run_id: str) -> dict[str, str]:
    folder = repository / "outputs" / "demo" / "digits" / f"{run_id}-s0" / "training"
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("best.safetensors", "last.safetensors", "history.csv")
    }


def wait_for_checkpoint(repository, process: subprocess.Popen, after_ns: int = 0) -> int:
    """Until a checkpoint newer than `after_ns` is there; its time."""
    while process.poll() is None:
        for state in (repository / ".checkpoints").glob("*/state.pt"):
            if (written := state.stat().st_mtime_ns) > after_ns:
                return written
        time.sleep(0.001)
    raise AssertionError(f"finished before it could be killed:\n{process.communicate()[0]}")


@pytest.mark.parametrize(
    ("run_id", "changes"),
    [
        (
            ROLE,
            {"epochs": 300},
        ),  # the label estimator and Adam's state are part of what must come back
        (
            PICTURES,
            {
                "epochs": 12,
                "augment": "flip",
                "optimizer": {"name": "sgd", "lr": 0.05, "schedule": "one_cycle"},
            },
        ),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(repository, run_id, changes):
    write_yaml(repository / "runs" / f"{run_id}.yaml", run_settings(run_id, **changes))
    stage(repository, "train", "params.yaml", run_id, "0", **OFF)
    wanted = results(repository, run_id)
    for name in ("best.safetensors", "last.safetensors", "history.csv"):
        (repository / "outputs" / "demo" / "digits" / f"{run_id}-s0" / "training" / name).unlink()
    written = 0
    for _ in range(2):
        process = start(repository, run_id)
        written = wait_for_checkpoint(repository, process, written)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    again = stage(repository, "train", "params.yaml", run_id, "0", **OFF)
    assert "resumed after epoch" in again.stdout + again.stderr
    assert results(repository, run_id) == wanted
    assert not list((repository / ".checkpoints").glob("*/state.pt"))


def test_changed_settings_start_afresh_and_say_so(repository):
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=300))
    process = start(repository, ROLE)
    wait_for_checkpoint(repository, process)
    process.kill()
    process.wait()
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=2))
    done = stage(repository, "train", "params.yaml", ROLE, "0", **OFF)
    assert "not resumed, since settings changed; starting afresh" in done.stdout + done.stderr
    history = (
        (repository / "outputs/demo/digits" / f"{ROLE}-s0" / "training" / "history.csv")
        .read_text()
        .splitlines()
    )
    assert len(history) == 3


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(repository):
    broken = run_settings(PICTURES, epochs=400, optimizer={"name": "sgd", "lr": 1e30})
    write_yaml(repository / "runs" / f"{PICTURES}.yaml", broken)
    done = stage(repository, "train", "params.yaml", PICTURES, "0", check=False, **OFF)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "the loss is nan at epoch" in done.stderr
        and "step" in done.stderr
        and "optimizer.lr" in done.stderr
    )


def test_second_process_on_the_same_run_is_refused(repository):
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=3000))
    process = start(repository, ROLE)
    wait_for_checkpoint(repository, process)
    done = stage(repository, "train", "params.yaml", ROLE, "0", check=False, **OFF)
    assert done.returncode == 1 and "another process is at work on it" in done.stderr
    process.kill()
    process.wait()


def test_features_of_other_pictures_are_refused(repository):
    """The manifest changed after the extraction: training must not mix rows of one with features of the other."""
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    settings["data"]["digits"]["seed"] = 1
    write_yaml(repository / "params.yaml", settings)
    stage(repository, "prepare", "params.yaml", "digits")
    done = stage(repository, "train", "params.yaml", LINEAR, "0", check=False, **OFF)
    assert (
        done.returncode == 1
        and "was extracted with manifest" in done.stderr
        and "extract stage" in done.stderr
    )


def test_training_facts(repository):
    stage(repository, "train", "params.yaml", LINEAR, "0", **OFF)
    facts = json.loads(
        (
            repository / "outputs/demo/digits" / f"{LINEAR}-s0" / "training" / "training.json"
        ).read_text()
    )
    assert facts["pretrained"].startswith("package://") and len(facts["pretrained_sha256"]) == 64
    assert facts["environment"]["images_per_second"] > 0 and facts["epochs"]["last"] == 2
    # Evaluate stages run again after a change of code because this file then differs.
    assert facts["code_sha256"] == hashlib.sha256(json.dumps(training_code()).encode()).hexdigest()
