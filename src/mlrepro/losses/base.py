"""What every loss of a training is: a module that knows the batch and its rows, and may keep state between epochs."""

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn


class Loss(nn.Module):
    """forward: (logits (B, C), targets (B, C), rows (B,): their indices in the training rows) -> scalar. What must survive an
    interruption is a parameter or a buffer, so that the checkpoint holds it."""

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Before each epoch, 0 to epochs - 1, also before the one that a resumed training begins with."""

    def diagnostics(self, labels: np.ndarray) -> dict[str, float]:
        """What an epoch's history tells of the loss's own state, given the training rows' true labels (N, C)."""
        return {}

    def end_epoch(self, predict: Callable[[], Tensor]) -> None:
        """After each epoch. predict(): logits (N, C) of all training rows, in evaluation mode but augmented as in training."""


class BatchLoss(Loss):
    """A loss that needs the batch alone, not which training rows are in it."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, logits: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        return self.function(logits, targets)
