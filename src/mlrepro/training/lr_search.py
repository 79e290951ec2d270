"""A learning rate to start from: one pass in which it grows exponentially (Smith 2017; fast.ai)."""

import numpy as np
import torch

from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training.job import TrainingJob, prepare
from mlrepro.training.optimizers.create import create_optimizer
from mlrepro.training.splits import LabelledData
from mlrepro.training.state import TrainingState
from mlrepro.training.step import Batch, train_step

# Of optimizer.lr.
FIRST = 1e-7
LAST = 10.0

FEWEST_STEPS = 20  # of a pass: fewer give no curve to read a learning rate from
DIVERGED = 4.0  # times the first loss
REACH = 0.1  # of the sweep, on either side of a step, that its smoothed loss is made of


def search_lr(run: Run, seed: int, data: LabelledData) -> dict[str, np.ndarray]:
    """lr, loss and smoothed loss of each step until the loss diverges.

    The steps are those of the run's own optimiser, SAM and clipping, on a network that is not kept.
    Raises InputError for a pass of less than 20 batches, and where the first loss is not finite.
    """
    steps = len(data.rows["train"]) // run.batch_size
    if steps < FEWEST_STEPS:
        raise InputError(
            f"{run.run_id}: a pass has {steps} batches, too few to search the learning rate; lower "
            "batch_size"
        )

    lrs = np.geomspace(FIRST, LAST, steps)
    losses = _sweep(prepare(run, seed, data), lrs)
    return {
        "lr": lrs[: len(losses)],
        "loss": np.array(losses),
        "smoothed": _smoothed(losses),
    }


def _sweep(job: TrainingJob, lrs: np.ndarray) -> list[float]:
    """Losses of a step at each of the learning rates, until they diverge."""
    run = job.run
    model = job.task.model

    # With an lr of 1 the groups' learning rates are the factors that `decay` and others give them.
    plain = run.optimizer.model_copy(update={"lr": 1.0, "schedule": "constant"})
    run_at_one = run.model_copy(update={"optimizer": plain})
    optimizer, _ = create_optimizer(run_at_one, model, job.loss, len(lrs))
    factors = [group["lr"] for group in optimizer.param_groups]
    state = TrainingState(model, model, None, job.loss, optimizer, None)

    train_rows = job.rows["train"]
    batches = job.task.inputs.shuffled(train_rows, run.batch_size, job.seed, 0)
    losses: list[float] = []
    state.loss.start_epoch(0, run.epochs)
    model.train()
    for lr, (inputs, manifest_rows) in zip(lrs, batches, strict=True):
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] = lr * factor

        rows = torch.searchsorted(torch.from_numpy(train_rows), manifest_rows).to(job.device)
        batch = Batch(inputs, job.targets[rows], rows)
        try:
            loss, _ = train_step(run, state, batch, f"lr {lr:.2g}")
        except InputError:  # not finite
            if not losses:
                raise
            break

        losses.append(loss.item())
        if losses[-1] > DIVERGED * losses[0]:
            break
    return losses


def _smoothed(losses: list[float]) -> np.ndarray:
    """Means weighted by a Hann window; one of past steps alone would fall too late."""
    window = np.hanning(2 * int(REACH * len(losses)) + 3)[1:-1]
    weights = np.convolve(np.ones(len(losses)), window, "same")
    return np.convolve(losses, window, "same") / weights


def suggest(swept: dict[str, np.ndarray]) -> float:
    """The lr at which the smoothed loss falls most steeply over log lr, before its minimum.

    Raises InputError if it never falls.
    """
    lrs = swept["lr"]
    losses = swept["smoothed"]
    minimum = losses.argmin()
    if minimum == 0:
        raise InputError("lr search: the loss never fell; look at the inputs")
    slopes = np.gradient(losses, np.log(lrs))
    return float(lrs[slopes[: minimum + 1].argmin()])
