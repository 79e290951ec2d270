"""Suggests a learning rate for a run file: one pass over its training rows in which it grows exponentially (Smith 2017; fast.ai).

Writes the sweep as lr_search.csv. Its network is its own: no weights are written.
"""

import numpy as np
import pandas
import torch

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.settings.run import Run
from mlrepro.stage import main
from mlrepro.training.fit import Training, train_step
from mlrepro.training.optimizers import create_optimizer
from mlrepro.training.run import Labelled, device, prepare, read_labelled

FIRST, LAST = 1e-7, 10.0  # of optimizer.lr
DIVERGED = 4.0  # times the first loss
REACH = 0.1  # of the sweep, on either side of a step, that its smoothed loss is made of


def stage(settings: str, run_id: str, seed: str) -> None:
    layout = read_layout(settings)
    run, path = layout.run(run_id), layout.output(run_id, int(seed)) / "lr_search.csv"
    swept = search_lr(run, int(seed), read_labelled(layout.data))
    path.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(swept).to_csv(path, index=False)
    print(
        f"lr search {run_id}, seed {seed}: optimizer.lr {suggest(swept):.2g} (now {run.optimizer.lr:g}) -> {path}"
    )


def search_lr(run: Run, seed: int, data: Labelled) -> dict[str, np.ndarray]:
    """lr, loss and smoothed loss of each step until the loss diverges, with the run's own optimiser, SAM and clipping.

    The smoothed loss is a mean weighted by a Hann window (one of past steps alone would fall too late). Raises InputError for a
    pass of less than 20 batches.
    """
    train, steps = data.rows["train"], len(data.rows["train"]) // run.batch_size
    if steps < 20:
        raise InputError(
            f"{run.run_id}: a pass has {steps} batches, too few to search the learning rate; lower batch_size"
        )
    task, loss, targets, _ = prepare(run, seed, data)
    plain = run.optimizer.model_copy(
        update={"lr": 1.0, "schedule": "constant"}
    )  # the groups' lrs are then factors
    optimizer, _ = create_optimizer(
        run.model_copy(update={"optimizer": plain}), task.model, loss, steps
    )
    training, factors = (
        Training(task.model, task.model, None, loss, optimizer, None),
        [g["lr"] for g in optimizer.param_groups],
    )
    lrs, losses = np.geomspace(FIRST, LAST, steps), []
    loss.start_epoch(0, run.epochs)
    task.model.train()
    for lr, (batch, rows) in zip(
        lrs, task.inputs.shuffled(train, run.batch_size, seed, 0), strict=True
    ):
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] = lr * factor
        train_rows = torch.searchsorted(torch.from_numpy(train), rows).to(targets.device)
        try:
            losses.append(
                train_step(
                    run, training, batch, targets[train_rows], train_rows, device(), f"lr {lr:.2g}"
                ).item()
            )
        except InputError:  # not finite
            if not losses:
                raise
            break
        if losses[-1] > DIVERGED * losses[0]:
            break
    window = np.hanning(2 * int(REACH * len(losses)) + 3)[1:-1]
    smoothed = np.convolve(losses, window, "same") / np.convolve(
        np.ones(len(losses)), window, "same"
    )
    return {"lr": lrs[: len(losses)], "loss": np.array(losses), "smoothed": smoothed}


def suggest(swept: dict[str, np.ndarray]) -> float:
    """The lr at which the smoothed loss falls most steeply over log lr, before its minimum. InputError if it never falls."""
    lrs, losses = swept["lr"], swept["smoothed"]
    if losses.argmin() == 0:
        raise InputError("lr search: the loss never fell; look at the inputs")
    return float(lrs[np.gradient(losses, np.log(lrs))[: losses.argmin() + 1].argmin()])


main(stage, "params.yaml", "run", "seed")
