"""A machine with little free memory says so before a training, and trains."""

import pytest
from conftest import LINEAR, run_settings

from mlrepro.settings.run import Run
from mlrepro.training import memory
from mlrepro.training.job import prepare
from mlrepro.training.memory import MIB, OF_TORCH, free_memory, needed_memory, warn_of_little_memory
from mlrepro.training.splits import read_labelled
from mlrepro.training.train import train_run


@pytest.fixture
def job(repository, monkeypatch):
    monkeypatch.chdir(repository)
    run = Run.model_validate(run_settings(LINEAR))
    return prepare(run, 0, read_labelled(repository / "data" / "digits"))


def test_what_a_training_needs_by_hand(job):
    width = 1280
    classes = 10
    features = 4 * width * 192
    weights = 4 * (width + 1) * classes
    batch = 4 * width * 16
    assert needed_memory(job) == OF_TORCH + features + 96 * classes + 6 * weights + batch


@pytest.mark.parametrize("free, warned", [(1200, False), (1024, True), (100, True)])
def test_little_memory_is_said(job, monkeypatch, capsys, free, warned):
    monkeypatch.setattr(memory, "free_memory", lambda: free * MIB)
    warn_of_little_memory(job)
    printed = capsys.readouterr().out
    assert printed.startswith(f"warning: {free:,} MiB of memory are free") == warned
    assert bool(printed) == warned


def test_a_training_with_little_memory_goes_on(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    run = Run.model_validate(run_settings(LINEAR))
    train_run(run, 0, repository / "data" / "digits", repository / "out", "memory")
    assert "warning: 0 MiB of memory are free" in capsys.readouterr().out
    assert (repository / "out" / "best.safetensors").is_file()


def test_free_memory_is_the_least_of_machine_and_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "own_folders", lambda _: [tmp_path / "two", tmp_path / "one"])
    assert free_memory() is None

    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    (tmp_path / "status").write_text("Name: python\nRssAnon:\t 1000 kB\n")
    assert free_memory() == 6000 * 1024

    files = {
        "two/memory.max": "4096000\n",
        "two/memory.current": "2048000\n",
        "one/memory.limit_in_bytes": "9223372036854771712\n",
        "one/memory.usage_in_bytes": "1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory() == 3000 * 1024
