"""Binary cross-entropy on full labels, with the clamped logarithm of Cole et al. (CVPR 2021), and weighted by class."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mlrepro.losses.base import Loss

EPSILON = 1e-5


def at_least_float32(logits: Tensor) -> Tensor:
    """Half precision becomes float32 (1e-5 below one is not representable in it); float64 stays float64."""
    return logits if logits.dtype == torch.float64 else logits.float()


def soft_targets(targets: Tensor, smoothing: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Targets (B, C) with label smoothing as in deep-object-reid: t becomes t (1 - smoothing), and 0 becomes smoothing. Ignored
    entries, which are negative, become 0; and the mask (B, C) that is 0 for these and 1 for the others."""
    targets = targets.to(dtype)
    y, known = (
        targets.clamp(min=0),
        1 + targets.sign().clamp(max=0),
    )  # arithmetic costs less than comparing and torch.where
    return torch.where(targets == 0, smoothing, y * (1 - smoothing)) if smoothing else y, known


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """base ** exponent for a base >= 0, in less time than torch's. 0 is taken as the smallest normal number: the derivative of
    0^gamma is infinite for gamma < 1, and times sigmoid's 0 it would be NaN."""
    return torch.exp2(exponent * torch.log2(base + torch.finfo(base.dtype).tiny))


def negative_log(p: Tensor) -> Tensor:
    """-log(p + 1e-5): finite for every probability, and slightly negative at p = 1, as in the authors' code."""
    return -torch.log(p + EPSILON)


def soft_bce(p: Tensor, soft: Tensor) -> Tensor:
    """Cross-entropy of probabilities against soft labels, by entry. (B, C), (B, C) -> (B, C)."""
    return soft * negative_log(p) + (1 - soft) * negative_log(1 - p)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, the sum over all entries divided by B*C.

    logits (B, C); targets (B, C): 1 positive, 0 negative, -1 ignored (adds 0 and has gradient 0, but still counts in
    the divisor). Returns a scalar. Source: Cole et al. 2021, L_BCE.
    """
    return bce_ls(logits, targets, smoothing=0.0)


def bce_ls(logits: Tensor, targets: Tensor, smoothing: float = 0.1) -> Tensor:
    """`bce` against targets 1 - smoothing and smoothing (0.9 / 0.1, not 0.95 / 0.05). Source: Cole et al. 2021."""
    p = torch.sigmoid(at_least_float32(logits))
    positive = targets == 1
    losses = (1 - smoothing) * negative_log(torch.where(positive, p, 1 - p))
    losses = losses + smoothing * negative_log(torch.where(positive, 1 - p, p))
    return torch.where(targets == -1, 0.0, losses).mean()


class WeightedBceLoss(Loss):
    """Cross-entropy of logits, the sum over entries divided by B*C, whose positive terms weigh negatives / positives.

    targets (N, C): the training rows, of which each class's numbers of positives and negatives are counted; -1 is neither,
    and ignored as in `bce`. A class without positives weighs 1: it has no positive term, whose infinite weight would be
    NaN times 0. One without negatives weighs 0, and learns nothing. Source: the MIRFLICKR study (001); torch's pos_weight.
    """

    def __init__(self, targets: Tensor):
        super().__init__()
        positives, negatives = (targets == 1).sum(0), (targets == 0).sum(0)
        self.register_buffer(
            "weight",
            torch.where(positives > 0, negatives / positives.clamp(min=1), 1.0),
            persistent=False,
        )

    def forward(self, logits: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        losses = binary_cross_entropy_with_logits(
            logits, targets.to(logits.dtype), pos_weight=self.weight, reduction="none"
        )
        return torch.where(targets == -1, 0.0, losses).mean()
