"""The time that `mlrepro plan --measure` predicts for a search."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, stage, write_yaml
from use_runs import write_runs

from mlrepro.layout import read_layout
from mlrepro.settings.losses import FULL_LABEL_LOSSES
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run import Run
from mlrepro.training.grid.data import GridData
from mlrepro_cli.plan import search as plan_search
from mlrepro_cli.plan import throughput
from mlrepro_cli.plan.plan import plan
from mlrepro_cli.plan.search import FEW, MORE, SearchPace, measure_search, stand_in_targets

PICTURES = 2000
MIRFLICKR = "studies/mirflickr-single-positive/mirflickr20k_val/params.yaml"


class Clock:
    """Stands in for the module `time`; the test turns it on."""

    def __init__(self):
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Each search takes 3 s, 2 s an epoch, and 10 ms a picture in it."""
    clock = Clock()

    def search(members, data):
        [epochs] = {run.epochs for run, _ in members}
        clock.seconds += 3 + epochs * (2 + 0.01 * len(data.rows["train"]))

    monkeypatch.setattr(plan_search, "time", clock)
    monkeypatch.setattr(plan_search, "search", search)
    return clock


def grid_data(pictures: int) -> GridData:
    labels = np.zeros((pictures, 2), np.int8)
    rows = {"train": np.arange(pictures), "val": np.arange(4), "test": np.arange(4)}
    targets = {"full": torch.from_numpy(labels)}
    return GridData(torch.zeros(pictures, 3), targets, labels, rows)


def linear(loss, **changes) -> Run:
    fields = {
        "data": "made_up",
        "labels": "full",
        "inputs": "features",
        "head": "linear",
        "backbone": "resnet50",
        "weights": "none",
        "resolution": 224,
        "loss": {"name": loss} if isinstance(loss, str) else loss,
        "optimizer": {"lr": 0.01},
        "epochs": 10,
        "batch_size": 16,
    }
    return Run.model_validate(fields | changes)


def test_the_pace_of_a_search_is_that_of_all_its_pictures(clock):
    pace = measure_search([(linear("bce"), 0)], grid_data(PICTURES))
    assert pace.start == pytest.approx(3)
    assert pace.epoch == pytest.approx(2)
    assert pace.picture == pytest.approx(0.01)
    assert pace.seconds(10, PICTURES) == pytest.approx(3 + 10 * (2 + 20))


@pytest.mark.parametrize("pictures", [FEW - 1, FEW, FEW + 1, MORE])
def test_few_pictures_are_all_searched(clock, pictures):
    pace = measure_search([(linear("bce"), 0)], grid_data(pictures))
    whole = 3 + 10 * (2 + 0.01 * pictures)
    assert pace.seconds(10, pictures) == pytest.approx(whole)


def write_search(losses: list[str], learning_rates: list[float], seeds: list[int]) -> None:
    """Makes the pipeline of the present folder a search alone."""
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["runs"] = []
    settings["search"] = {
        "losses": [{"name": name} for name in losses],
        "learning_rates": learning_rates,
        "batch_sizes": [16],
        "epochs": 2,
        "seeds": seeds,
    }
    write_yaml(Path("params.yaml"), settings)


def test_the_search_is_in_the_plan(repository, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "SECONDS", 0.01)
    monkeypatch.setattr(plan_search, "stage_start", lambda imports: 60.0)
    write_runs(repository)
    monkeypatch.chdir(repository)
    (repository / "data" / "params.yaml").write_text("data: {}\n")

    write_search(losses=["an", "bce"], learning_rates=[1e-2, 1e-3], seeds=[0, 1, 2])

    # Neither features nor observed labels are there yet.
    for path in Path("data/digits/features").iterdir():
        path.unlink()
    (repository / "data" / "digits" / "observed.npz").unlink()

    plan(Path("params.yaml"), measure=True)
    out = capsys.readouterr().out
    # Two losses, two learning rates and three seeds.
    assert re.search(r"^search of 12 layers: \d+ s$", out, re.MULTILINE)
    minutes = re.search(r"about (\S+) minutes on this machine \(.*search (\S+)\)", out)
    assert float(minutes[1]) >= float(minutes[2]) >= 1


def test_a_search_that_is_done_is_not_in_the_plan(repository, monkeypatch, capsys):
    write_runs(repository)
    monkeypatch.chdir(repository)
    (repository / "data" / "params.yaml").write_text("data: {}\n")
    write_search(losses=["bce"], learning_rates=[1e-2], seeds=[0])
    stage(repository, "search", "params.yaml")

    plan(Path("params.yaml"), measure=True)
    out = capsys.readouterr().out
    assert "1 trainings, 1 done" in out
    assert "search of" not in out


def test_every_loss_of_a_search_can_be_measured():
    """Also those whose settings want more epochs than a short search has."""
    search = load_pipeline(ROOT / MIRFLICKR).search
    losses = [
        loss.model_copy(update={"expected_positives": 1.5})
        if hasattr(loss, "expected_positives")
        else loss
        for loss in search.losses
    ]
    assert len(losses) == 19
    members = [
        (linear(loss, labels="full" if loss.name in FULL_LABEL_LOSSES else "single"), 0)
        for loss in losses
    ]
    data = grid_data(40)
    data.labels[::2, 0] = data.labels[1::2, 1] = 1
    targets = stand_in_targets(torch.from_numpy(data.labels))
    pace = measure_search(members, replace(data, targets_by_labels=targets))
    assert pace.seconds(10, 40) > 0


@pytest.mark.parametrize(
    ("seeds", "threads", "measured", "scale"), [(5, 2, [0, 1], 2.5), (5, 8, [0, 1, 2, 3, 4], 1)]
)
def test_as_many_seeds_are_measured_as_cores_are_busy(
    monkeypatch, repository, seeds, threads, measured, scale
):
    monkeypatch.chdir(repository)
    seen = []

    def measure(members, data):
        seen.extend(seed for _, seed in members)
        return SearchPace(start=1.0, epoch=2.0, picture=0.0)

    monkeypatch.setattr(plan_search, "measure_search", measure)
    monkeypatch.setattr(plan_search, "threads_of_search", lambda: threads)
    members = [(linear("bce"), seed) for seed in range(seeds)]
    layout = read_layout("params.yaml")
    seconds = plan_search._predict_part(layout, members, grid_data(PICTURES))
    assert seen == measured
    assert seconds == pytest.approx(scale * (1 + 10 * 2), abs=0.1)
