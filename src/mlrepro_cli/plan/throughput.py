"""How long a training and its evaluation take on this machine, by the throughput of first steps.

The multiply-accumulates of a training are counted, and a few short epochs say how many of them this
machine does a second. An evaluation scores at the same pace; its metrics are computed once, of made
up scores.
"""

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from timeit import timeit

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mlrepro.evaluation.measure import measure as measure_metrics
from mlrepro.evaluation.measure import read_truth
from mlrepro.layout import Layout
from mlrepro.settings.run import Run
from mlrepro.threads import use_threads
from mlrepro.training.fit import fit
from mlrepro.training.job import prepare
from mlrepro.training.observer import Observer
from mlrepro.training.splits import LabelledData, read_labelled, scored_rows
from mlrepro.training.targets import read_targets

# What the two stages import.
TRAIN_IMPORTS = "mlrepro.training.train, mlrepro.tracking"
EVALUATE_IMPORTS = "mlrepro.evaluation.record, mlrepro.tracking"
METRIC_KERNELS = ("mlrepro.metrics.kernels", "mlrepro.metrics.resampling_kernels")

# Epochs that are trained to measure; the first warms up.
EPOCHS = 4
# Seconds of steps in each.
SECONDS = 0.75
# Validation pictures that each scores.
SCORED = 128
# So much more on a GPU, whose loader starts with a queue of pictures.
GPU_SCALE = 16


@dataclass(frozen=True)
class Speed:
    """What a run's training costs on this machine.

    pictures: of train, val, test.
    gmacs:    of one picture's forward pass; of the head alone where features or maps are read.
    train:    on how many of these GMACs it trains a second, with backward passes, SAM and waiting
              for pictures.
    score:    how many of these GMACs it scores a second.
    epoch:    seconds beside that in each epoch: metrics, checkpoint, a loader's start.
    start:    seconds before the first step.
    evaluation: seconds before an evaluation scores its first picture.
    metrics:  seconds of all metrics of one selection of weights.
    """

    pictures: dict[str, int]
    gmacs: float
    train: float
    score: float
    epoch: float
    start: float
    evaluation: float
    metrics: float


def predict(run: Run, speed: Speed) -> float:
    """Wall seconds of a train stage to its last epoch.

    Without the first stage of a `linear_init`, on features, which is short beside the second.
    """
    seconds_per_gmac = _trained_pictures(run, speed.pictures) / speed.train
    seconds_per_gmac += _scored_pictures(run, speed.pictures) / speed.score
    return speed.start + run.epochs * speed.epoch + speed.gmacs * seconds_per_gmac


def predict_evaluation(run: Run, speed: Speed) -> float:
    """Wall seconds of an evaluate stage, which scores and measures each selection of weights."""
    scored = run.scored(speed.pictures["test"])
    selections = 1
    if run.validation == "val":
        scored += run.scored(speed.pictures["val"])
        selections = 3 if run.select_on_test else 2
    seconds_of_one = speed.metrics + speed.gmacs * scored / speed.score
    return speed.evaluation + selections * seconds_of_one


def _trained_pictures(run: Run, pictures: dict[str, int]) -> int:
    """In all epochs. The last pictures, less than a batch, are left out of each."""
    whole_batches = pictures["train"] // run.batch_size * run.batch_size
    return run.epochs * (whole_batches or pictures["train"])


def _scored_pictures(run: Run, pictures: dict[str, int]) -> int:
    """In all epochs, once for each kind of weights: plain, and averaged from `ema_start` on."""
    each_time = run.scored(pictures["val"])
    if run.select_on_test:
        each_time += run.scored(pictures["test"])
    times = run.epochs
    if run.ema:
        times += run.epochs - run.ema_start

    scored = times * each_time
    if run.loss.name == "em_apl":
        # Its pseudo-labels are scores of the training pictures.
        scored += (run.epochs - run.loss.warm_up) * pictures["train"]
    return scored


def measure(run: Run, data_folder: Path) -> Speed:
    """Trains short epochs, of which nothing is kept.

    Raises InputError where data or features are lacking.
    """
    use_threads(run)
    begin = time.perf_counter()
    data = read_labelled(data_folder, run.validation)
    run = run.model_copy(
        update={"epochs": EPOCHS, "ema_start": 0, "early_stop": None, "stop_below": None}
    )
    job = prepare(run, 0, data)
    prepared = time.perf_counter() - begin
    # After the clock is read, because it takes its time.
    start = prepared + stage_start()

    batch, _ = next(job.task.inputs.sequential(data.rows["train"][:2]))
    gmacs = _forward_gmacs(job.task.model, batch)

    scale = GPU_SCALE if job.device.type == "cuda" else 1
    # The training as it is, but its inputs end early and its checkpoints are thrown away.
    inputs = TimedInputs(job.task.inputs, SECONDS * scale)
    job.task.inputs = inputs
    job.rows = _rows(run, data, SCORED * scale)
    ends = EpochEnds()
    fit(job, DiscardedCheckpoint(), ends)
    metrics = metrics_seconds(run, data)

    # What an epoch takes beside its batches is what is left of the time of the later epochs.
    train_pace, trained = _pace(inputs.trained)
    score_pace, scored = _pace(inputs.scored)
    beside = ends.seconds[-1] - ends.seconds[0] - train_pace * trained - score_pace * scored
    return Speed(
        pictures={split: len(rows) for split, rows in data.rows.items()},
        gmacs=gmacs,
        train=gmacs / train_pace,
        score=gmacs / score_pace,
        epoch=max(0.0, beside / (EPOCHS - 1)),
        start=start,
        evaluation=prepared + stage_start(_evaluate_imports()),
        metrics=metrics,
    )


@cache
def stage_start(imports: str = TRAIN_IMPORTS) -> float:
    """Seconds of a process that only imports what a stage does."""
    command = [sys.executable, "-c", f"import {imports}"]
    return timeit(lambda: subprocess.run(command), number=1)


def lock_seconds(layout: Layout) -> float:
    """Of DVC to write the pipeline's lock, which it does after each stage, as that is now."""
    lock = Path(layout.dvc_file).with_suffix(".lock")
    if not lock.is_file():
        return 0.0
    from dvc.utils.serialize import modify_yaml  # here: it takes a second to import

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / lock.name
        shutil.copyfile(lock, copy)
        begin = time.perf_counter()
        with modify_yaml(copy):
            pass
        return time.perf_counter() - begin


def _evaluate_imports() -> str:
    """Of an evaluate stage that computes metrics as this process has: of many pictures by numba."""
    kernels = [name for name in METRIC_KERNELS if name in sys.modules]
    return ", ".join([EVALUATE_IMPORTS, *kernels])


def metrics_seconds(run: Run, data: LabelledData) -> float:
    """Of all metrics of one selection, computed of random scores of all pictures.

    The second time: the first may import numba.
    """
    splits = dict.fromkeys([run.validation, "test"])
    rows = {split: scored_rows(run, data.manifest.rows(split)) for split in splits}
    truth = read_truth(data.manifest, read_targets(run, data.manifest), rows)
    draw = np.random.default_rng(0)
    logits = {
        split: draw.standard_normal(labels.shape, dtype=np.float32)
        for split, labels in truth.scored.items()
    }

    seconds = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        measure_metrics(run, truth, logits, epoch=0)
        seconds = time.perf_counter() - begin
    return seconds


def _forward_gmacs(model: nn.Module, two_pictures) -> float:
    """Of one picture. The counter knows no fused attention, so attention is computed unfused."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model.train()(two_pictures)
    # Of two pictures, and two operations a MAC.
    return counter.get_total_flops() / (2 * 2 * 1e9)


def _rows(run: Run, data: LabelledData, most: int) -> dict[str, np.ndarray]:
    """All rows of train, and the first of those that are scored."""
    rows = {split: scored_rows(run, of_split)[:most] for split, of_split in data.rows.items()}
    rows["train"] = data.rows["train"]
    return rows


class EpochEnds(Observer):
    """When each epoch ended."""

    def __init__(self):
        self.seconds: list[float] = []

    def epoch(self, entry: dict) -> None:
        self.seconds.append(time.perf_counter())


class DiscardedCheckpoint:
    """Takes the time of a checkpoint and leaves none."""

    def load(self) -> None:
        return None

    def save(self, state: dict) -> None:
        torch.save(state, io.BytesIO())


class TimedInputs:
    """A task's inputs, whose training passes end after `limit` seconds.

    trained, scored: an array a pass, see `timed`.
    """

    def __init__(self, inputs, limit: float):
        self._inputs = inputs
        self._limit = limit
        self.trained: list[np.ndarray] = []
        self.scored: list[np.ndarray] = []

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator:
        batches = self._inputs.shuffled(rows, batch_size, seed, epoch)
        return timed(batches, self.trained, self._limit)

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Iterator:
        return timed(self._inputs.sequential(rows, augmented), self.scored)


def timed(batches: Iterator, passes: list[np.ndarray], limit: float = np.inf) -> Iterator:
    """Passes batches on, until `limit` seconds are over.

    Adds to `passes` an array (batches, 2): the seconds of each, waiting for it included, and its
    pictures.
    """
    begin = time.perf_counter()
    laps = []
    last = 0.0
    for batch, rows in batches:
        yield batch, rows
        now = time.perf_counter() - begin
        laps.append((now - last, len(rows)))
        last = now
        if now > limit:
            break
    passes.append(np.array(laps, float).reshape(-1, 2))


def _pace(passes: list[np.ndarray]) -> tuple[float, int]:
    """Seconds a picture, and pictures, of the passes after those of the first epoch.

    The pace is that of each pass's later half, when loaders are under way.
    """
    later = passes[len(passes) // EPOCHS :]
    seconds, pictures = sum(laps[len(laps) // 2 :].sum(0) for laps in later)
    return seconds / pictures, sum(laps[:, 1].sum() for laps in later)
