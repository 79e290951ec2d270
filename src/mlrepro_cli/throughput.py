"""How long a training takes on this machine: its multiply-accumulates, by a throughput that is measured on its first steps."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from timeit import timeit
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mlrepro.settings.run import Run
from mlrepro.training.fit import fit, scored_rows
from mlrepro.training.run import device, prepare, read_labelled

EPOCHS, SECONDS, SCORED = (
    4,
    0.75,
    128,
)  # epochs, the first to warm up; seconds of steps in each; pictures that it scores


def predict(
    run: Run,
    pictures: dict[str, int],
    gmacs: float,
    train: float,
    score: float,
    epoch: float,
    start: float,
) -> float:
    """Wall seconds of a train stage to its last epoch, without a `linear_init`'s stage on features, which is short beside it.
    pictures: of train, val, test. gmacs: of one's forward pass, of the head alone where features or maps are read. train, score:
    how many of these GMACs it trains on (backward, SAM and waiting for pictures included) and scores a second. Seconds beside
    that: epoch, of each (metrics, checkpoint, a loader's start); start, before the first step."""
    trained = run.epochs * (
        pictures["train"] // run.batch_size * run.batch_size or pictures["train"]
    )
    kinds = run.epochs + (
        run.epochs - run.ema_start if run.ema else 0
    )  # of weights: plain and averaged
    scored = kinds * sum(
        run.scored(pictures[split]) for split in ["val"] + ["test"] * run.select_on_test
    )
    scored += (
        (run.epochs - run.loss.warm_up) * pictures["train"] if run.loss.name == "em_apl" else 0
    )  # for pseudo-labels
    return start + run.epochs * epoch + gmacs * (trained / train + scored / score)


def measure(run: Run, data_folder: Path) -> dict:
    """What `predict` reads, from short epochs of which nothing is kept. Raises InputError where data or features are lacking."""
    begin, where, data = time.perf_counter(), device(), read_labelled(data_folder, run.validation)
    run = run.model_copy(
        update={"epochs": EPOCHS, "ema_start": 0, "early_stop": None, "stop_below": None}
    )
    task, loss, targets, _ = prepare(run, 0, data)
    start = time.perf_counter() - begin + stage_start()  # in this order: the latter takes its time
    scale = 16 if where.type == "cuda" else 1  # whose loader starts with a queue of pictures
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):  # it knows no fused attention
        task.model.train()(next(task.inputs.sequential(data.rows["train"][:2]))[0])
    rows = {
        split: scored_rows(run, found)[: SCORED * scale] for split, found in data.rows.items()
    } | {"train": data.rows["train"]}
    train, score, ends = [], [], []
    inputs = SimpleNamespace(
        shuffled=lambda *given: timed(task.inputs.shuffled(*given), train, SECONDS * scale),
        sequential=lambda *given: timed(task.inputs.sequential(*given), score),
    )
    checkpoint = SimpleNamespace(
        load=lambda: None, save=lambda state: torch.save(state, io.BytesIO())
    )
    fit(
        run,
        0,
        task.model,
        loss,
        inputs,
        targets,
        data.labels,
        rows,
        checkpoint,
        where,
        lambda _: None,
        lambda _: ends.append(time.perf_counter()),
    )
    gmacs, rates, beside = counter.get_total_flops() / 4e9, [], ends[-1] - ends[0]
    for passes in (train, score):
        warm = passes[len(passes) // EPOCHS :]
        seconds, pictures = sum(laps[len(laps) // 2 :].sum(0) for laps in warm)
        rates.append(gmacs * pictures / seconds)
        beside -= seconds / pictures * sum(laps[:, 1].sum() for laps in warm)
    return {
        "pictures": {split: len(found) for split, found in data.rows.items()},
        "gmacs": gmacs,
        "train": rates[0],
        "score": rates[1],
        "epoch": max(0.0, beside / (EPOCHS - 1)),
        "start": start,
    }


@cache
def stage_start() -> float:
    """Seconds of a process that only imports what a train stage does."""
    return timeit(
        lambda: subprocess.run([sys.executable, "-c", "import mlrepro.training.run, mlflow"]),
        number=1,
    )


def timed(batches: Iterator, passes: list[np.ndarray], limit: float = np.inf) -> Iterator:
    """Passes `batches` on for `limit` seconds; adds to `passes` the (seconds, pictures) of each, waiting for it included."""
    begin, ends = time.perf_counter(), [(0.0, 0)]
    for batch, rows in batches:
        yield batch, rows
        ends.append((time.perf_counter() - begin, ends[-1][1] + len(rows)))
        if ends[-1][0] > limit:
            break
    passes.append(np.diff(ends, axis=0))
