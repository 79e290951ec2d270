"""What is measured after each epoch. All in percent, except losses and mean numbers of labels."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.thresholded import thresholded_metrics
from mlrepro.settings.run import Run
from mlrepro.training.job import TrainingJob
from mlrepro.training.predict import expected_labels, logit_scale, predict
from mlrepro.training.state import TrainingState

# Logits and targets (B, K) of a batch, before its step.
Answer = tuple[Tensor, Tensor]


def has_average(run: Run, epoch: int) -> bool:
    """Whether averaged weights are trained and scored in this epoch."""
    return run.ema is not None and epoch >= run.ema_start


def validate(
    job: TrainingJob, state: TrainingState, epoch: int, answers: list[Answer]
) -> dict[str, float]:
    """mAP of each split and kind of weights that the run wants, and more of the plain ones on val.

    Keys, in this order: val_mAP, val_mAP_ema, test_mAP, test_mAP_ema; val_positives, and what
    `epoch_metrics` asks for (answers: of the epoch's steps).
    """
    run = job.run
    logits = _score(job, state.model, "val")
    scores = {"val_mAP": _mean_ap(job, "val", logits)}
    more = {"val_positives": expected_labels(logits * logit_scale(run))}
    if run.epoch_metrics:
        more |= _epoch_metrics(job, answers, logits)

    for split, suffix, model in _scored_beside(run, state, epoch):
        # Reading pictures draws a number, but what is scored beside val_mAP must not change the
        # training.
        with torch.random.fork_rng(devices=[]):
            logits = _score(job, model, split)
        scores[f"{split}_mAP{suffix}"] = _mean_ap(job, split, logits)
    return scores | more


def _scored_beside(
    run: Run, state: TrainingState, epoch: int
) -> Iterator[tuple[str, str, nn.Module]]:
    """Split, suffix of the key, and network of what is scored beside the plain weights on val."""
    averaged = has_average(run, epoch)
    if averaged:
        yield "val", "_ema", state.averaged
    if run.select_on_test:
        yield "test", "", state.model
    if run.select_on_test and averaged:
        yield "test", "_ema", state.averaged


def _score(job: TrainingJob, model: nn.Module, split: str) -> np.ndarray:
    rows = job.rows[split]
    return predict(model, job.task.inputs, rows, job.device, precision=job.run.precision)


def _mean_ap(job: TrainingJob, split: str, logits: np.ndarray) -> float:
    labels = job.labels[job.rows[split]]
    return mean_average_precision(average_precision(logits, labels), job.run.empty_classes)


def _epoch_metrics(job: TrainingJob, answers: list[Answer], logits: np.ndarray) -> dict[str, float]:
    """val_loss, and train_ and val_ metrics of decisions at probability 0.5.

    Those of train are of each batch before its step, augmented, with dropout, a picture once a
    draw: so the loop of the VOC2007 transfer study counts them (its slide 20).
    """
    # Losses of full labels read the batch alone: they need not know which rows are in it.
    labels = job.labels[job.rows["val"]]
    val_logits = torch.from_numpy(logits).to(job.device)
    val_targets = torch.from_numpy(labels).to(job.device)
    loss = job.loss(val_logits, val_targets, None)

    train_logits = torch.cat([answer for answer, _ in answers]).cpu().numpy()
    train_targets = torch.cat([targets for _, targets in answers]).cpu().numpy()
    of_train = thresholded_metrics(train_logits, train_targets, 0.0)
    of_val = thresholded_metrics(logits, labels, 0.0)

    metrics = {"val_loss": loss.item()}
    metrics |= {f"train_{key}": value for key, value in of_train.items()}
    metrics |= {f"val_{key}": value for key, value in of_val.items()}
    return metrics
