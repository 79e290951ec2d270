"""Checkpoints that are damaged, not ours, on a full or read-only disk, or without rights."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import LINEAR, run_settings, small_disk, stage
from test_modes import train
from toys import Interruption

from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training.checkpoint import Checkpoint, exclusive, remove_held

RUN = Run.model_validate(run_settings(LINEAR, epochs=5))
PARTS = {"settings": "these"}
FIRST = {"weights": torch.arange(2000.0), "epoch": 0}
SECOND = {"weights": torch.arange(2000.0) + 1, "epoch": 1}


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> Checkpoint:
    """One with two states."""
    monkeypatch.chdir(tmp_path)
    checkpoint = Checkpoint("run-s0", PARTS)
    checkpoint.save(FIRST)
    checkpoint.save(SECOND)
    return checkpoint


def states(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"))


# ---- Damages -----------------------------------------------------------------------------------


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    """Of the weights: torch itself notices nothing."""
    content = bytearray(path.read_bytes())
    start = content.find(SECOND["weights"].numpy().tobytes())
    content[start + 100] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["epoch"] == 1


def another_file(path: Path) -> None:
    torch.save({"epoch": 7}, path)


def of_another_training(path: Path) -> None:
    """Whole, and under the right name."""
    other = Checkpoint("other-s0", PARTS)
    other.save(SECOND)
    [state] = states(other.folder)
    path.unlink()
    shutil.move(state, path.with_name(state.name.replace("000000", "000001")))


def named_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def foreign_name(path: Path) -> None:
    path.rename(path.with_name("state.pt"))


DAMAGES = [
    cut_off,
    empty,
    flip_a_bit,
    another_file,
    of_another_training,
    named_pipe,
    foreign_name,
]


def name(damage: Callable) -> str:
    return damage.__name__


@pytest.mark.parametrize("damage", DAMAGES, ids=name)
def test_a_damaged_state_is_set_aside_and_the_one_before_is_used(checkpoint, damage, capsys):
    damage(states(checkpoint.folder)[1])
    again = Checkpoint("run-s0", PARTS)
    loaded = again.load()
    assert loaded["epoch"] == 0
    assert torch.equal(loaded["weights"], FIRST["weights"])

    # A name that is none comes before all, and is looked at when nothing else is left.
    if damage is not foreign_name:
        [aside] = checkpoint.folder.glob("*.damaged")
        printed = capsys.readouterr().out
        assert f"set aside as {aside.name}, the one before it is used" in printed

    # It goes on, and the next start finds what came last.
    again.save(SECOND)
    assert Checkpoint("run-s0", PARTS).load()["epoch"] == 1


def test_without_a_good_state_it_starts_from_the_beginning(checkpoint, capsys):
    for state in states(checkpoint.folder):
        empty(state)
    another_file(checkpoint.folder / "state.pt")
    assert checkpoint.load() is None
    assert capsys.readouterr().out.count("starting from the beginning") == 1
    assert len(list(checkpoint.folder.glob("*.damaged"))) == 3
    assert checkpoint.load() is None
    assert "set aside" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_damaged_parts_are_named(checkpoint, content, capsys):
    """Another training of the same name cannot tell what changed."""
    (checkpoint.folder / "parts.json").write_text(content)
    assert Checkpoint("run-s0", {"settings": "others"}).load() is None
    assert "parts.json is damaged; starting afresh" in capsys.readouterr().out
    assert not checkpoint.folder.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_note_of_its_end_costs_nothing(checkpoint, content, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    checkpoint.finish([checkpoint.folder / "parts.json"], "run-s0")
    (checkpoint.folder / "finished.json").write_text(content)
    remove_held()
    assert Checkpoint("run-s0", PARTS).load()["epoch"] == 1


def test_a_training_with_a_flipped_bit_gives_the_same_weights(repository, monkeypatch):
    monkeypatch.chdir(repository)
    train(RUN, repository)
    wanted = (repository / "out" / "last.safetensors").read_bytes()

    with pytest.raises(KeyboardInterrupt):
        train(RUN, repository, Interruption(epoch=3))
    [folder] = (repository / ".checkpoints").glob("*-????????????")
    state = states(folder)[-1]
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)

    train(RUN, repository)
    assert (repository / "out" / "last.safetensors").read_bytes() == wanted


def test_a_second_process_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with exclusive("run-s0"):
        with pytest.raises(InputError, match=rf"at work on it .* \(process {os.getpid()}\)"):
            with exclusive("run-s0"):
                raise AssertionError("two at once")


# ---- Disks and rights --------------------------------------------------------------------------


def test_a_full_disk_keeps_the_last_states_and_the_training_goes_on(
    repository, monkeypatch, capsys
):
    monkeypatch.chdir(repository)
    train(RUN, repository)
    wanted = (repository / "out" / "last.safetensors").read_bytes()

    # A state is of about 200 kB: there is room for two, and not for the next beside them.
    with small_disk(Path(".checkpoints"), 500_000):
        with pytest.raises(OSError, match="No space left on device: .*state.tmp"):
            train(RUN, repository)
        [folder] = Path(".checkpoints").glob("*-????????????")
        assert len(states(folder)) == 2
        assert not (folder / "state.tmp").exists()

        subprocess.run(["mount", "-o", "remount,size=5m", ".checkpoints"], check=True)
        train(RUN, repository)
        assert "resumed after epoch 1" in capsys.readouterr().out
    assert (repository / "out" / "last.safetensors").read_bytes() == wanted


@pytest.fixture
def limited_file_size():
    """No file may become larger than 100 kB; the signal that comes with it is ignored by Python."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_be_so_large_is_named(repository, limited_file_size):
    done = stage(repository, "train", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "state.tmp: File too large: larger than a file may be in .checkpoints/" in done.stderr


def test_a_read_only_folder_is_named(repository):
    with small_disk(repository / ".checkpoints", 100_000, "ro"):
        done = stage(repository, "train", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Read-only file system: .checkpoints is on a read-only file system" in done.stderr
    assert "mount it writable" in done.stderr

    # An output's folder as well.
    with small_disk(repository / "outputs", 100_000, "ro"):
        done = stage(repository, "train", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "outputs is on a read-only file system" in done.stderr


def test_a_folder_without_rights_is_named(repository):
    (repository / ".checkpoints").chmod(0o500)
    command = [sys.executable, "stages/train.py", "params.yaml", LINEAR, "0"]
    if os.getuid() == 0:
        # Root has all rights by two capabilities.
        if not shutil.which("setpriv"):
            pytest.skip("no `setpriv` here, and root may write everywhere")
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "needs the right to read and write in .checkpoints (chown, chmod" in done.stderr
