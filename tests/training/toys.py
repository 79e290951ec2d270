"""Small trainings on made-up vectors, and what watches, keeps or interrupts them."""

import io

import numpy as np
import torch
from torch import Tensor, nn

from mlrepro.losses import create_loss
from mlrepro.losses.base import Loss
from mlrepro.settings.run import Run
from mlrepro.training.job import TrainingJob
from mlrepro.training.observer import Observer
from mlrepro.training.task import Task

CPU = torch.device("cpu")
NEVER = 1000


class Memory:
    """A checkpoint that goes through torch's file format, and may interrupt after some saves."""

    def __init__(self, interrupt_after: int = NEVER):
        self.saved: bytes | None = None
        self.left = interrupt_after

    def load(self) -> dict | None:
        if self.saved is None:
            return None
        return torch.load(io.BytesIO(self.saved), weights_only=True)

    def save(self, state: dict) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.saved = buffer.getvalue()

        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Interruption(Observer):
    """Interrupts a training after the epoch of that number."""

    def __init__(self, epoch: int = 0):
        self.last = epoch

    def epoch(self, entry: dict) -> None:
        if entry["epoch"] == self.last:
            raise KeyboardInterrupt


class Recorder(Loss):
    """Writes down what it is told; its gradient is nothing."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.seen.append((epoch, epochs))

    def end_epoch(self, predict) -> None:
        self.seen.append(predict())

    def forward(self, logits: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        return 0 * logits.sum()


def toy_job(
    run: Run,
    model: nn.Module,
    inputs,
    labels: np.ndarray,
    rows: dict[str, np.ndarray],
    loss: Loss | None = None,
    targets: Tensor | None = None,
) -> TrainingJob:
    """A job with the run's own loss if none is given, and with the full labels as targets."""
    if targets is None:
        targets = torch.from_numpy(labels[rows["train"]])
    if loss is None:
        loss = create_loss(run.loss, targets, None, torch.Generator().manual_seed(0))
    return TrainingJob(run, 0, Task(model, inputs), loss, targets, labels, rows, CPU)
