"""Asymmetric loss (Ridnik et al., ICCV 2021)."""

import torch
from torch import Tensor

from mlrepro.losses.binary import at_least_float32

EPSILON = 1e-8  # lower bound inside the logarithm


def asl(logits: Tensor, targets: Tensor, gamma_neg: float = 4.0, gamma_pos: float = 0.0, clip: float = 0.05,
        stop_gradient: bool = True, reduction: str = "sum") -> Tensor:
    """-(1 - p)^gamma_pos log p for positives; -(p_m)^gamma_neg log(1 - p_m), p_m = max(p - clip, 0), for negatives.

    logits (B, C); targets (B, C): 1 positive, 0 negative, -1 ignored. stop_gradient: the focusing weight is a constant
    in the gradient, as in the authors' training. reduction: `sum` over all entries, or `batch_mean`, that sum / B.
    Returns a scalar. Source: Ridnik et al. 2021 and their code.
    """
    p = torch.sigmoid(at_least_float32(logits))
    positive = targets == 1
    right = torch.where(positive, p, (1 - p + clip).clamp(max=1))
    with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_gradient):
        gamma = torch.where(positive, p.new_full((), gamma_pos), p.new_full((), gamma_neg))
        # Not quite 0: the derivative of 0^gamma is infinite for gamma < 1, and times sigmoid's 0 it would be NaN.
        focus = (1 - right).clamp(min=torch.finfo(p.dtype).tiny) ** gamma
    losses = -focus * torch.log(right.clamp(min=EPSILON))
    total = torch.where(targets == -1, 0.0, losses).sum()
    return total / len(logits) if reduction == "batch_mean" else total
