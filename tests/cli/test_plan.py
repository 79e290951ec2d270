"""What `mlrepro plan` prints, and the time that it predicts for a training on this machine."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import LINEAR, PICTURES, ROOT, run_settings, stage, write_yaml
from use_runs import RUNS, run_here, write_runs

from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.settings.losses import PseudoLabels
from mlrepro.settings.run import Run
from mlrepro.studies.features import wanted_features
from mlrepro.studies.runs import read_run
from mlrepro_cli.plan import extraction, throughput
from mlrepro_cli.plan.plan import plan


@pytest.fixture
def repository(repository, monkeypatch) -> Path:
    """A prepared repository as the present folder, whose runs are not trained."""
    write_runs(repository)
    shutil.copy(ROOT / "data" / "params.yaml", repository / "data")
    monkeypatch.chdir(repository)
    return repository


def test_plan_of_real_studies(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    plan(Path("params.yaml"))
    plan(Path("studies/single-positive/params.yaml"))
    out = capsys.readouterr().out
    assert re.search(r"^params.yaml: 13 trainings, \d+ done", out, re.MULTILINE)
    assert "GPU hours left; next: dvc repro studies/single-positive/voc2012" in out
    assert "VOCtrainval_11-May-2012.tar (size not stated)" in out
    assert "GB are free" in out


def test_plan_counts_what_has_a_record_of_the_present_settings(repository, capsys):
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", LINEAR, "0")
    plan(Path("params.yaml"))
    assert "params.yaml: 3 trainings, 1 done; next: dvc repro dvc.yaml" in capsys.readouterr().out

    write_yaml(Path("runs") / f"{LINEAR}.yaml", run_settings(LINEAR, epochs=4))
    plan(Path("params.yaml"))
    assert "params.yaml: 3 trainings, 0 done; next: dvc repro dvc.yaml" in capsys.readouterr().out


def test_plan_measures_the_trainings_that_are_left(repository, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "SECONDS", 0.01)
    monkeypatch.setattr(throughput, "stage_start", lambda imports="": 60.0)
    next_command = "0 done; next: dvc repro dvc.yaml; "

    assert run_here(monkeypatch, "plan", "params.yaml") == 0
    how = "time on this machine: mlrepro plan params.yaml --measure"
    assert next_command + how in capsys.readouterr().out

    before = files_below(repository)
    assert run_here(monkeypatch, "plan", "params.yaml", "--measure") == 0
    out = capsys.readouterr().out
    for run_id in RUNS:
        seconds = r"\d+ s a seed and \d+ s to evaluate"
        line = rf"^{run_id}: {seconds}, \S+ GMACs a picture, \S+ a s$"
        assert re.search(line, out, re.MULTILINE), run_id
    # Three trainings and three evaluations start for a minute each.
    total = re.search(next_command + r"about (\S+) minutes on this machine \((.*)\)", out)
    parts = {part: float(value) for part, value in re.findall(r"(\w+) (\d+\.\d)", total[2])}
    assert parts.keys() == {"train", "evaluate"}, "features are there, and DVC has no lock"
    assert parts["train"] >= 3 and parts["evaluate"] >= 3
    assert float(total[1]) == pytest.approx(sum(parts.values()), abs=0.11)
    assert files_below(repository) == before, "nothing is kept"

    (repository / "data" / "digits" / "manifest.parquet").unlink()
    assert run_here(monkeypatch, "plan", "params.yaml", "--measure") == 2
    problem = "manifest.parquet: no such file; run `dvc repro` on the prepare stage"
    assert problem in capsys.readouterr().err


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_estimate_follows_its_formula():
    run = Run.model_validate(run_settings(PICTURES, epochs=15, batch_size=32))
    pictures = {"train": 100, "val": 40, "test": 60}

    def estimate(train_pictures: int = 100, evaluation: bool = False, **changes) -> float:
        speed = throughput.Speed(
            pictures=pictures | {"train": train_pictures},
            gmacs=0.5,
            train=10.0,
            score=20.0,
            epoch=3.0,
            start=7.0,
            evaluation=5.0,
            metrics=2.0,
        )
        changed = run.model_copy(update=changes)
        if evaluation:
            return throughput.predict_evaluation(changed, speed)
        return throughput.predict(changed, speed)

    # Seconds of scoring the validation pictures once, and of an epoch of three whole batches.
    scored = 0.5 * 40 / 20
    epoch = 3 + 0.5 * 96 / 10 + scored
    assert estimate() == pytest.approx(7 + 15 * epoch)
    assert estimate(epochs=30) == pytest.approx(7 + 30 * epoch)

    # Less than a batch is trained on all the same.
    short_epoch = 3 + 0.5 * 20 / 10 + scored
    assert estimate(train_pictures=20) == pytest.approx(7 + 15 * short_epoch)

    # Averaged weights are scored, too, once there are some.
    assert estimate(ema=0.9) == pytest.approx(7 + 15 * (epoch + scored))
    assert estimate(ema=0.9, ema_start=10) == pytest.approx(7 + 15 * epoch + 5 * scored)

    # More or fewer pictures are scored: the test split, whole batches alone, pseudo-labels.
    on_test = scored * 60 / 40
    assert estimate(select_on_test=True) == pytest.approx(7 + 15 * (epoch + on_test))
    left_out = scored * 8 / 40
    assert estimate(protocol="released") == pytest.approx(7 + 15 * (epoch - left_out))
    loss = PseudoLabels(name="em_apl", alpha=1, beta=1, warm_up=5)
    pseudo_labels = scored * 100 / 40
    assert estimate(loss=loss) == pytest.approx(7 + 15 * epoch + 10 * pseudo_labels)

    # An evaluation measures the best and the last weights on validation and test; without a
    # validation split of its own the last alone, on test.
    both = scored * 100 / 40
    assert estimate(evaluation=True) == pytest.approx(5 + 2 * (2 + both))
    assert estimate(evaluation=True, select_on_test=True) == pytest.approx(5 + 3 * (2 + both))
    assert estimate(evaluation=True, validation="test") == pytest.approx(5 + 2 + on_test)


class Clock:
    """Stands in for the module `time`; the test turns it on."""

    def __init__(self):
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("run_id", "gmacs"),
    [
        (LINEAR, 1280 * 10 / 1e9),  # the head's alone
        (PICTURES, None),  # the whole network's
    ],
)
def test_speed_is_that_of_the_later_epochs(repository, monkeypatch, run_id, gmacs):
    clock = Clock()

    def fit(job, checkpoint, observer):
        inputs = job.task.inputs
        for epoch in range(job.run.epochs):
            slow = 10 if epoch == 0 else 1
            for _ in inputs.shuffled(job.rows["train"], job.run.batch_size, job.seed, epoch):
                clock.seconds += 0.16 * slow
            for _, batch in inputs.sequential(job.rows["val"]):
                clock.seconds += 0.01 * len(batch) * slow
            clock.seconds += 5
            observer.epoch({})

    def stage_start(imports: str = "") -> float:
        clock.seconds += 4
        return 6.0 if "evaluation" in imports else 4.0

    def measure_metrics(*_, **__) -> None:
        clock.seconds += 2

    monkeypatch.setattr(throughput, "time", clock)
    monkeypatch.setattr(throughput, "measure_metrics", measure_metrics)
    monkeypatch.setattr(throughput, "stage_start", stage_start)
    monkeypatch.setattr(throughput, "fit", fit)
    layout = read_layout("params.yaml")
    run = read_run(layout, run_id)
    speed = throughput.measure(run, layout.data)

    expected = gmacs or measure_cost(run, 10).gmacs
    assert speed.pictures == {"train": 96, "val": 48, "test": 48}
    assert speed.gmacs == pytest.approx(expected)
    assert speed.train == pytest.approx(expected * 16 / 0.16)
    assert speed.score == pytest.approx(expected / 0.01)
    assert speed.epoch == pytest.approx(5)
    assert speed.start == pytest.approx(4)
    assert speed.evaluation == pytest.approx(6)
    assert speed.metrics == pytest.approx(2)


def test_what_is_measured_computes_with_the_threads_of_the_run(repository, monkeypatch):
    monkeypatch.setattr(throughput, "SECONDS", 0.01)
    monkeypatch.setattr(throughput, "stage_start", lambda imports="": 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    layout = read_layout("params.yaml")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        throughput.measure(read_run(layout, LINEAR), layout.data)
        assert torch.get_num_threads() == 1, "as a train stage of a run on features"
    finally:
        torch.set_num_threads(before)


def test_features_that_lack_are_timed_and_stood_in_for(repository, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "SECONDS", 0.01)
    monkeypatch.setattr(extraction, "SECONDS", 0.01)
    monkeypatch.setattr(throughput, "stage_start", lambda imports="": 0.0)
    features = list(Path("data/digits/features").iterdir())
    for path in features:
        path.unlink()
    before = files_below(repository)

    plan(Path("params.yaml"), measure=True)
    out = capsys.readouterr().out
    assert re.search(r"^features of \w+ at \d+ px: \d+ s$", out, re.MULTILINE)
    assert re.search(rf"^{LINEAR}: \d+ s a seed", out, re.MULTILINE)
    assert files_below(repository) == before, "nothing is kept"


def test_the_pace_of_an_extraction_is_that_of_all_pictures(repository, monkeypatch):
    layout = read_layout("params.yaml")
    (features,) = wanted_features(layout)
    manifest = read_manifest(layout.data)
    monkeypatch.setattr(extraction, "_pace", lambda *_: 0.5)
    plain = extraction.measure_extraction(features, manifest)
    assert plain.seconds == manifest.pictures / 2
    assert plain.channels == 1280


def test_steps_end_after_a_while(monkeypatch):
    readings = iter([0.0, 0.5, 1.0, 2.0])
    clock = SimpleNamespace(perf_counter=lambda: next(readings))
    monkeypatch.setattr(throughput, "time", clock)
    batches = [("batch", [1, 2])] * 9
    passes = []
    assert list(throughput.timed(batches, passes, 1.0)) == batches[:3]
    np.testing.assert_array_equal(passes, [[[0.5, 2], [0.5, 2], [1.0, 2]]])
