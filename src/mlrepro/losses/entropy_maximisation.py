"""EM and EM+APL on observed labels (Zhou et al., Acknowledging the Unknown, ECCV 2022).

Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative, which the paper does not
have: it is a negative that no rule relabels). Both losses are the sum over entries divided by B*C.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.numerics import at_least_float32, negative_log, soft_bce

APL_SHARE = 0.9  # of a class's unobserved entries that are negatives in the end


def em(logits: Tensor, observed: Tensor, alpha: float) -> Tensor:
    """Entropy maximisation: unobserved entries add -alpha times their entropy.

    (B, C), (B, C) -> scalar.
    """
    return em_apl(logits, observed, torch.full_like(logits, -1), alpha, 0.0)


def em_apl(logits: Tensor, observed: Tensor, soft: Tensor, alpha: float, beta: float) -> Tensor:
    """`em` where entries with a pseudo-label `soft` >= 0 add beta times their cross-entropy.

    All (B, C) -> scalar.
    """
    p = torch.sigmoid(at_least_float32(logits))
    # The cross-entropy of p against itself is its entropy.
    entropy = soft_bce(p, p)
    pseudo_labelled = beta * soft_bce(p, soft)
    unobserved = torch.where(soft >= 0, pseudo_labelled, -alpha * entropy)
    known = negative_log(torch.where(observed == 1, p, 1 - p))
    return torch.where(observed == 0, unobserved, known).mean()


class PseudoLabelLoss(Loss):
    """`em_apl` with its store of asymmetric pseudo-labels (N, C); -1 where there is none.

    After epoch `warm_up` (counted from 1) and each later one, every class's APL_SHARE * U /
    (epochs - warm_up) least probable entries without any label are given their own probability as
    label; U: its unobserved entries at the start.
    """

    def __init__(self, observed: Tensor, alpha: float, beta: float, warm_up: int):
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.warm_up = warm_up
        self.register_buffer("unobserved", observed == 0)
        self.register_buffer("soft", torch.full(observed.shape, -1.0))

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch = epoch
        self.epochs = epochs

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return em_apl(logits, observed_rows, self.soft[rows], self.alpha, self.beta)

    @torch.no_grad()
    def end_epoch(self, predict: Callable[[], Tensor]) -> None:
        finished = self.epoch + 1
        if finished < self.warm_up or finished == self.epochs:
            return

        p = torch.sigmoid(predict())
        unlabelled = self.unobserved & (self.soft < 0)
        rounds = self.epochs - self.warm_up
        counts = (APL_SHARE * self.unobserved.sum(0).double() / rounds).long()

        # Each class's rows from the least probable on; those with a label come last.
        order = torch.where(unlabelled, p, torch.inf).argsort(dim=0, stable=True)
        rank = torch.arange(len(p), device=p.device)[:, None]
        is_first = rank < counts  # in the sorted order: brought back to the rows' own
        chosen = torch.zeros_like(unlabelled).scatter_(0, order, is_first)

        self.soft.copy_(torch.where(chosen & unlabelled, p, self.soft))


def build_em_apl(settings: Settings, context: LossContext) -> PseudoLabelLoss:
    return PseudoLabelLoss(context.targets, settings.alpha, settings.beta, settings.warm_up)
