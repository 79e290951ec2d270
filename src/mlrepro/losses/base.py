"""What every loss of a training is, and what one is made from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# A loss's settings class. The losses do not import these classes: all would count as changed, and
# their runs would train again, whenever another loss's settings change.
Settings = Any

CHECKED_ROWS = 1 << 16  # at a time: comparing all targets at once would take as much memory again


class Loss(nn.Module):
    """A module that knows the batch and its rows, and may keep state between epochs.

    forward: (logits (B, C), targets (B, C), rows (B,): their indices in the training rows)
    -> scalar. What must survive an interruption is a parameter or a buffer, so that the checkpoint
    holds it.
    """

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Before each epoch, 0 to epochs - 1, also the one that a resumed training begins with."""

    def diagnostics(self, labels: np.ndarray) -> dict[str, float]:
        """What an epoch's history tells of the loss's own state.

        labels (N, C): the training rows' true labels.
        """
        return {}

    def end_epoch(self, predict: Callable[[], Tensor]) -> None:
        """After each epoch.

        predict(): logits (N, C) of all training rows, in evaluation mode but augmented as in
        training.
        """


class BatchLoss(Loss):
    """A loss that needs the batch alone, not which training rows are in it."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, logits: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        return self.function(logits, targets)


@dataclass(frozen=True)
class LossContext:
    """What a loss's builder is given beside its settings; see `create_loss`."""

    targets: Tensor
    expected_positives: float | None
    generator: torch.Generator
    protocol: str


def check_targets(targets: Tensor) -> None:
    """Raises ValueError for targets (N, C) other than -1, 0 and 1."""
    wrong_parts = []
    for part in targets.split(CHECKED_ROWS):
        is_wrong = (part != 1) & (part != 0) & (part != -1)  # also true of NaN
        wrong_parts.append(part[is_wrong])
    wrong = torch.cat(wrong_parts)
    if len(wrong):
        raise ValueError(
            f"targets may be -1, 0 or 1; {len(wrong)} of {targets.numel()} entries are others, "
            f"among them {wrong.unique()[:5].tolist()}"
        )
