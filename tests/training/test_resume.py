"""kill -9 and run again; changed settings; a loss that is not finite; two processes on one run."""

import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path

import forks
import pytest
import yaml
from conftest import CNN, LINEAR, PICTURES, ROLE, run_settings, stage, write_yaml
from forks import Fork

from mlrepro.code import training_code
from mlrepro.environments import read_environment
from mlrepro.settings.run import load_run
from mlrepro.training.write import environment_file

KILLED = Path(__file__).with_name("killed.py")
CHECKPOINT = ".checkpoints/*/state-*.pt"
COMPARED = ("best.safetensors", "last.safetensors", "history.csv")


def start(repository: Path, run_id: str) -> Fork:
    """A train stage that goes on while the test does."""
    return forks.start("stages/train.py", "params.yaml", run_id, "0", folder=repository)


def kill_at_work(repository: Path, *words: str, at: str = CHECKPOINT) -> None:
    """A stage, killed soon after it has written a file like `at`."""
    fork = forks.start(str(KILLED), at, *words, folder=repository)
    assert fork.wait() == -signal.SIGKILL, f"it was not killed:\n{fork.output}"


def kill_training(repository: Path, run_id: str, at: str = CHECKPOINT) -> None:
    kill_at_work(repository, "stages/train.py", "params.yaml", run_id, "0", at=at)


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
SOME_EPOCHS = {"epochs": 8}
AUGMENTED = {
    "epochs": 8,
    "augment": "flip",
    "optimizer": {"name": "sgd", "lr": 0.05, "schedule": "one_cycle"},
}


@pytest.mark.parametrize(("run_id", "changes"), [(ROLE, SOME_EPOCHS), (CNN, AUGMENTED)])
def test_killed_and_resumed_equals_uninterrupted(repository, run_id, changes):
    write_yaml(repository / "runs" / f"{run_id}.yaml", run_settings(run_id, **changes))
    stage(repository, "train", "params.yaml", run_id, "0")
    wanted = results(repository, run_id)
    for name in COMPARED:
        (trained(repository, run_id) / name).unlink()

    for _ in range(2):
        kill_training(repository, run_id)
    again = stage(repository, "train", "params.yaml", run_id, "0")
    assert "resumed after epoch" in again.stdout + again.stderr
    assert results(repository, run_id) == wanted
    assert not list((repository / ".checkpoints").glob("*/state-*.pt"))


def test_changed_settings_start_afresh_and_say_so(repository):
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=300))
    kill_training(repository, ROLE)

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
    first = start(repository, ROLE)
    while not list(repository.glob(CHECKPOINT)):
        assert first.poll() is None, first.output
        time.sleep(0.01)

    done = stage(repository, "train", "params.yaml", ROLE, "0", check=False)
    assert done.returncode == 1
    assert "another process is at work on it" in done.stderr
    first.kill()


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
