"""Binary cross-entropy on full labels whose positive terms are weighted by class."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.numerics import at_least_float32


class WeightedBceLoss(Loss):
    """Cross-entropy of logits, whose positive terms weigh negatives / positives of their class.

    The sum over entries is divided by B*C. targets (N, C): the training rows, of which each class's
    numbers of positives and negatives are counted; -1 is neither, and ignored as in `bce`. A class
    without positives weighs 1: it has no positive term, whose infinite weight would be NaN times 0.
    One without negatives weighs 0, and learns nothing. Source: the MIRFLICKR study; torch's
    pos_weight.
    """

    def __init__(self, targets: Tensor):
        super().__init__()
        positives = (targets == 1).sum(0)
        negatives = (targets == 0).sum(0)
        # Not persistent: it follows from the targets, and checkpoints need not hold it.
        weight = torch.where(positives > 0, negatives / positives.clamp(min=1), 1.0)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        losses = binary_cross_entropy_with_logits(
            logits, targets.to(logits.dtype), pos_weight=self.weight, reduction="none"
        )
        return torch.where(targets == -1, 0.0, losses).mean()


def build(settings: Settings, context: LossContext) -> WeightedBceLoss:
    return WeightedBceLoss(context.targets)
