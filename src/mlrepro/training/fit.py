"""The optimiser loop, the same for heads on extracted features and for networks on pictures."""

import time

import numpy as np
import torch
from torch import Tensor

from mlrepro.progress import progress_bar
from mlrepro.training.checkpoint import Checkpoint
from mlrepro.training.distributed import RANK, WORLD, data_parallel, gather, share_buffers
from mlrepro.training.early_stopping import stopped
from mlrepro.training.ema import average_of
from mlrepro.training.inputs import Batches
from mlrepro.training.job import TrainingJob
from mlrepro.training.observer import Observer
from mlrepro.training.optimizers.catalogue import STEPWISE_SCHEDULES
from mlrepro.training.optimizers.create import create_optimizer
from mlrepro.training.predict import predict
from mlrepro.training.state import Progress, TrainingState, better, resume, save
from mlrepro.training.step import Batch, train_step
from mlrepro.training.validate import Answer, has_average, validate


def fit(
    job: TrainingJob, checkpoint: Checkpoint | None = None, observer: Observer | None = None
) -> Progress:
    """Trains the job's network in place to its last epoch, and returns what it reached.

    With `ema` the network has the averaged weights in the end, if the average has begun.

    checkpoint: of rank 0, which all processes resume from; a resumed training keeps its first seed.
    Raises InputError for a loss that is not finite; the last finished epoch's checkpoint stays.
    """
    run = job.run
    observer = observer or Observer()
    state = _start(job)
    progress = resume(checkpoint, state) or Progress(job.seed)
    progress.tracking_id = observer.start(progress.tracking_id)

    first_epoch = len(progress.history)
    bar = progress_bar(
        range(first_epoch, run.epochs),
        desc=f"{run.run_id} seed {progress.seed}",
        total=run.epochs,
        initial=first_epoch,
        unit="epoch",
        disable=RANK > 0,
    )
    for epoch in bar:
        # Before the epoch, so that a training that is resumed after its end does not go on.
        if stopped(run, progress.history):
            break

        start = time.perf_counter()
        entry = _run_epoch(job, state, progress.seed, epoch)
        progress.history.append(entry)
        progress.best = better(progress.best, entry, "val_mAP", state)
        if run.select_on_test:
            progress.on_test = better(progress.on_test, entry, "test_mAP", state)
        progress.seconds += time.perf_counter() - start

        # Saved first: whoever watches the training may end it.
        if checkpoint:
            save(checkpoint, state, progress)
        observer.epoch(entry)
        bar.set_postfix(
            loss=f"{entry['train_loss']:.4f}", val_mAP=f"{entry['val_mAP']:.2f}", refresh=False
        )

    # The last weights of a run with an average are those of the average.
    if "val_mAP_ema" in progress.history[-1]:
        state.model.load_state_dict(state.averaged.module.state_dict())
    return progress


def _start(job: TrainingJob) -> TrainingState:
    """What is trained, before the first step."""
    run = job.run
    model = job.task.model
    # An epoch leaves out the pictures that do not fill its last batch, unless none is filled.
    steps = max(1, len(job.rows["train"]) // run.batch_size)
    optimizer, schedule = create_optimizer(run, model, job.loss, steps)
    return TrainingState(
        model=model,
        forward=data_parallel(model),
        averaged=average_of(model, run.ema) if run.ema else None,
        loss=job.loss,
        optimizer=optimizer,
        schedule=schedule,
    )


def _run_epoch(job: TrainingJob, state: TrainingState, seed: int, epoch: int) -> dict:
    """Trains one epoch and measures it; returns its row of the history."""
    run = job.run
    train_rows = job.rows["train"]
    lr = state.optimizer.param_groups[0]["lr"]  # the first group has the plain one

    batches = job.task.inputs.shuffled(train_rows, run.batch_size, seed, epoch)
    if WORLD > 1:
        # Each process draws its own dropout.
        own_seed = np.random.default_rng([seed, epoch, RANK]).integers(2**32)
        torch.manual_seed(int(own_seed))

    # Of the same augmented pictures as the epoch's, for losses that look at all of them at its end.
    def predict_train() -> Tensor:
        logits = predict(
            state.model,
            job.task.inputs,
            train_rows,
            job.device,
            augmented=(seed, epoch),
            precision=run.precision,
        )
        return torch.from_numpy(logits).to(job.device)

    state.loss.start_epoch(epoch, run.epochs)
    train_loss, answers = _train_epoch(job, state, batches, epoch)
    state.loss.end_epoch(predict_train)

    entry = {"epoch": epoch, "lr": lr, "train_loss": train_loss}
    entry |= validate(job, state, epoch, answers)
    if run.labels == "single":  # with full labels, these are the targets
        entry |= state.loss.diagnostics(job.labels[train_rows])
    return entry


def _train_epoch(
    job: TrainingJob, state: TrainingState, batches: Batches, epoch: int
) -> tuple[float, list[Answer]]:
    """The mean loss, and for `epoch_metrics` each batch's logits and targets.

    In each step the order is optimiser, average, schedule (deep-object-reid's).
    """
    run = job.run
    model = state.model
    stepwise = run.optimizer.schedule in STEPWISE_SCHEDULES
    model.train()

    # The average begins with the weights as they are now, not with those of the start.
    if run.ema and epoch == run.ema_start:
        state.averaged.module.load_state_dict(model.state_dict())

    position = _positions(job.rows["train"])
    # In float64: an epoch may have many thousands of steps.
    total = torch.zeros((), dtype=torch.float64, device=job.device)
    answers = []
    for step, (inputs, manifest_rows) in enumerate(batches):
        rows = gather(position[manifest_rows].to(job.device))
        batch = Batch(inputs, job.targets[rows], rows)
        loss, logits = train_step(run, state, batch, f"epoch {epoch}, step {step}")
        total += loss
        if run.epoch_metrics:
            answers.append((logits, batch.targets))

        share_buffers(model, job.device)
        if has_average(run, epoch):
            state.averaged.update_parameters(model)
        if state.schedule and stepwise:
            state.schedule.step()

    if state.schedule and not stepwise:
        state.schedule.step()
    return (total / (step + 1)).item(), answers


def _positions(train_rows: np.ndarray) -> Tensor:
    """Of each row of the manifest its position among the training rows; -1 for the others."""
    position = torch.full((int(train_rows.max()) + 1,), -1, dtype=torch.int64)
    position[torch.from_numpy(train_rows)] = torch.arange(len(train_rows))
    return position
