"""SPLC and Hill on observed labels.

Zhang et al., Simple and Robust Loss Design for Multi-Label Learning with Missing Labels (2021).
Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative, which the paper does not
have: it is a negative that no rule relabels). Both losses are the sum over entries.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.numerics import at_least_float32

MARGIN = 1.0  # subtracted from the logits of observed positives
SPLC_THRESHOLD = 0.6  # probability above which an unobserved entry becomes a positive
HILL_LAMBDA = 1.5  # the paper's: a negative's loss is (lambda - p) p^2


def splc(logits: Tensor, observed: Tensor, correct: bool) -> Tensor:
    """Focal loss (gamma 2) with a margin on observed positives. (B, C), (B, C) -> scalar.

    correct: unobserved entries above SPLC_THRESHOLD are positives, without the margin.
    Source: Zhang et al. 2021 and their code.
    """
    logits = at_least_float32(logits)
    # Known negatives (-1) are never taken for positives.
    probable = (observed == 0) & (torch.sigmoid(logits) > SPLC_THRESHOLD)
    positive = (observed == 1) | (correct & probable)

    shifted = torch.where(observed == 1, logits - MARGIN, logits)
    towards_label = torch.where(positive, shifted, -shifted)
    return _focal(towards_label).sum()


class SplcLoss(Loss):
    """`splc`, which relabels from the second epoch on."""

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.correct = epoch >= 1

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return splc(logits, observed_rows, self.correct)


def build_splc(settings: Settings, context: LossContext) -> SplcLoss:
    return SplcLoss()


def hill(logits: Tensor, observed: Tensor) -> Tensor:
    """SPLC's positives, and (1.5 - p) p^2 for all other entries. (B, C), (B, C) -> scalar.

    Source: as `splc`.
    """
    logits = at_least_float32(logits)
    p = torch.sigmoid(logits)
    negative = (HILL_LAMBDA - p) * p**2
    return torch.where(observed == 1, _focal(logits - MARGIN), negative).sum()


def _focal(logits: Tensor) -> Tensor:
    return -((1 - torch.sigmoid(logits)) ** 2) * F.logsigmoid(logits)
