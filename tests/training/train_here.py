"""Trainings in the working folder, a copy of the digits' repository, in this process."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from mlrepro.settings.run import Run
from mlrepro.training.train import train_run

DATA = Path("data/digits")
OUT = Path("out")


def ignore(*_) -> None:
    pass


def train(run: Run, out: Path = OUT, epoch=ignore) -> dict[str, torch.Tensor]:
    """The last weights. epoch: called after each epoch with its entry of the history."""
    observer = SimpleNamespace(start=ignore, epoch=epoch, finish=ignore)
    train_run(run, 0, DATA, out, "here", observer)
    return load_file(out / "last.safetensors")


def train_interrupted(run: Run, after_epoch: int) -> None:
    def interrupt(entry: dict) -> None:
        if entry["epoch"] == after_epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, epoch=interrupt)


def assert_interruption_changes_no_bit(run: Run) -> None:
    wanted = train(run)
    train_interrupted(run, after_epoch=1)
    again = train(run, Path("again"))
    assert again.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(again[key], value)
