"""LargeLoss on observed labels (Kim et al., Large Loss Matters, CVPR 2022)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.numerics import at_least_float32


class LargeLoss(Loss):
    """Cross-entropy that assumes negatives and rejects the largest losses of unobserved entries.

    scheme: ll_r drops them, ll_ct and ll_cp make them positives, ll_cp those of later epochs too
    (`corrected`, (N, C)). The first epoch is not modified. Then a batch has ceil(B * C * share) of
    them, where the share grows by delta_rel percent an epoch (ll_cp: stays at it).
    keep_threshold: ll_cp also corrects the smallest of them for good, as the code of 2023 does and
    that of 2022 does not.
    Observed labels are 1, 0 (unobserved) or -1 (known negative, which the paper does not have: it
    is never rejected). The sum over entries is divided by B*C. Source: the paper and its code.
    """

    def __init__(self, scheme: str, observed: Tensor, delta_rel: float, keep_threshold: bool):
        super().__init__()
        self.scheme = scheme
        self.delta = delta_rel / 100
        self.keep_threshold = keep_threshold

        permanent = scheme == "ll_cp"
        corrected = torch.zeros(observed.shape, dtype=torch.bool) if permanent else None
        self.register_buffer("corrected", corrected)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        # Not epoch * delta: the source's rounding decides where ceil would jump.
        clean = 1.0
        for _ in range(epoch):
            clean -= self.delta
        self.share = self.delta if self.scheme == "ll_cp" and epoch else 1 - clean

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        if self.corrected is not None:
            observed_rows = torch.where(self.corrected[rows], 1, observed_rows)

        # Cross-entropy of logits: softplus is -log of a probability.
        as_positive = F.softplus(-logits)
        losses = torch.where(observed_rows == 1, as_positive, F.softplus(logits))

        count = min(math.ceil(losses.numel() * self.share), losses.numel())
        if not count:
            return losses.mean()

        # Known entries count as losses of 0, so that only unobserved ones are above the threshold.
        candidates = losses.detach().masked_fill(observed_rows != 0, 0)
        threshold = candidates.flatten().topk(count).values[-1]
        large = (observed_rows == 0) & (candidates >= threshold)
        if self.corrected is not None:
            above = large if self.keep_threshold else large & (candidates > threshold)
            self.corrected[rows] |= above

        replacement = 0.0 if self.scheme == "ll_r" else as_positive
        return torch.where(large, replacement, losses).mean()


def build(settings: Settings, context: LossContext) -> LargeLoss:
    """Of ll_r, ll_ct and ll_cp."""
    scheme = settings.name

    # The code of 2022 compares the name with `is`, in vain: its ll_cp does what ll_ct does.
    without_effect = scheme == "ll_cp" and settings.version == 2022
    if without_effect and context.protocol == "released":
        scheme = "ll_ct"

    keep_threshold = settings.version == 2023
    return LargeLoss(scheme, context.targets, settings.delta_rel, keep_threshold)
