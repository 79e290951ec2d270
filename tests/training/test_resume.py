"""kill -9 and run again; changed settings; a loss that is not finite; two processes on one run."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import LINEAR, PICTURES, ROLE, run_settings, stage, write_yaml

from mlrepro.code import training_code
from mlrepro.environments import read_environment
from mlrepro.settings.run import load_run
from mlrepro.training.write import environment_file

COMPARED = ("best.safetensors", "last.safetensors", "history.csv")


def start(repository: Path, run_id: str) -> subprocess.Popen:
    """A train stage that goes on while the test does."""
    return subprocess.Popen(
        [sys.executable, "stages/train.py", "params.yaml", run_id, "0"],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def trained(repository: Path, run_id: str) -> Path:
    return repository / "outputs" / "demo" / "digits" / f"{run_id}-s0" / "training"


def results(repository: Path, run_id: str) -> dict[str, str]:
    """Digests of what a training gives."""
    folder = trained(repository, run_id)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in COMPARED}


def wait_for_checkpoint(repository: Path, process: subprocess.Popen, after_ns: int = 0) -> int:
    """Until a checkpoint newer than `after_ns` is there; its time."""
    while process.poll() is None:
        for state in (repository / ".checkpoints").glob("*/state-*.pt"):
            try:
                written = state.stat().st_mtime_ns
            except FileNotFoundError:  # two epochs have ended meanwhile
                continue
            if written > after_ns:
                return written
        time.sleep(0.001)
    raise AssertionError(f"finished before it could be killed:\n{process.communicate()[0]}")


# The label estimator and Adam's state are part of what must come back.
LONG_ROLE = {"epochs": 100}
AUGMENTED = {
    "epochs": 12,
    "augment": "flip",
    "optimizer": {"name": "sgd", "lr": 0.05, "schedule": "one_cycle"},
}


@pytest.mark.parametrize(("run_id", "changes"), [(ROLE, LONG_ROLE), (PICTURES, AUGMENTED)])
def test_killed_and_resumed_equals_uninterrupted(repository, run_id, changes):
    write_yaml(repository / "runs" / f"{run_id}.yaml", run_settings(run_id, **changes))
    stage(repository, "train", "params.yaml", run_id, "0")
    wanted = results(repository, run_id)
    for name in COMPARED:
        (trained(repository, run_id) / name).unlink()

    written = 0
    for _ in range(2):
        process = start(repository, run_id)
        written = wait_for_checkpoint(repository, process, written)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    again = stage(repository, "train", "params.yaml", run_id, "0")
    assert "resumed after epoch" in again.stdout + again.stderr
    assert results(repository, run_id) == wanted
    assert not list((repository / ".checkpoints").glob("*/state-*.pt"))


def test_changed_settings_start_afresh_and_say_so(repository):
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=300))
    process = start(repository, ROLE)
    wait_for_checkpoint(repository, process)
    process.kill()
    process.wait()

    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=2))
    done = stage(repository, "train", "params.yaml", ROLE, "0")
    assert "not resumed, since settings changed; starting afresh" in done.stdout + done.stderr
    history = (trained(repository, ROLE) / "history.csv").read_text().splitlines()
    assert len(history) == 3  # its header, and two epochs


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(repository):
    broken = run_settings(PICTURES, epochs=400, optimizer={"name": "sgd", "lr": 1e30})
    write_yaml(repository / "runs" / f"{PICTURES}.yaml", broken)
    done = stage(repository, "train", "params.yaml", PICTURES, "0", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for part in ("the loss is nan at epoch", "step", "optimizer.lr"):
        assert part in done.stderr


def test_second_process_on_the_same_run_is_refused(repository):
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=3000))
    process = start(repository, ROLE)
    wait_for_checkpoint(repository, process)

    done = stage(repository, "train", "params.yaml", ROLE, "0", check=False)
    assert done.returncode == 1
    assert "another process is at work on it" in done.stderr
    process.kill()
    process.wait()


def test_features_of_other_pictures_are_refused(repository):
    """The manifest changed after the extraction: its rows are no longer those of the features."""
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    settings["data"]["digits"]["seed"] = 1
    write_yaml(repository / "params.yaml", settings)
    stage(repository, "prepare", "params.yaml", "digits")

    done = stage(repository, "train", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "was extracted with manifest" in done.stderr
    assert "extract stage" in done.stderr


def test_training_facts(repository):
    stage(repository, "train", "params.yaml", LINEAR, "0")
    facts = json.loads((trained(repository, LINEAR) / "training.json").read_text())
    assert facts["pretrained"].startswith("package://")
    assert len(facts["pretrained_sha256"]) == 64
    used = read_environment(environment_file(trained(repository, LINEAR)))
    assert used.images_per_second > 0
    assert facts["epochs"]["last"] == 2

    # Evaluate stages run again after a change of code because this file then differs.
    code = json.dumps(training_code(load_run(repository / "runs" / f"{LINEAR}.yaml"))).encode()
    assert facts["code_sha256"] == hashlib.sha256(code).hexdigest()
