"""Asymmetric loss (Ridnik et al., ICCV 2021)."""

import torch
from torch import Tensor

from mlrepro.losses.binary import at_least_float32, soft_targets

EPSILON = {"sum": 1e-8, "batch_mean": 1e-8, "query2label": 1e-5}  # by reduction: lower bound inside the logarithm


def asl(logits: Tensor, targets: Tensor, gamma_neg: float = 4.0, gamma_pos: float = 0.0, clip: float = 0.05,
        stop_gradient: bool = True, reduction: str = "sum", label_smoothing: float = 0.0) -> Tensor:
    """-(1 - p)^gamma_pos log p for positives; -(p_m)^gamma_neg log(1 - p_m), p_m = max(p - clip, 0), for negatives.

    logits (B, C); targets (B, C): 1 positive, 0 negative, between them a mixture of both, negative: ignored.
    stop_gradient: the focusing weight is a constant in the gradient, as in the authors' training. reduction: `sum` over
    all entries, `batch_mean`, that sum / B, or `query2label`, 1000 times that sum / (B C), where ignored entries count
    in C. label_smoothing: see `soft_targets`.
    Returns a scalar. Source: Ridnik et al. 2021 and their code; Query2Label's code (Liu et al. 2021) for its reduction.
    """
    p = torch.sigmoid(at_least_float32(logits))
    y = soft_targets(targets, label_smoothing, p.dtype)
    not_p = (1 - p + clip).clamp(max=1)
    with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_gradient):
        # Not quite 0: the derivative of 0^gamma is infinite for gamma < 1, and times sigmoid's 0 it would be NaN.
        wrong = (1 - p * y - not_p * (1 - y)).clamp(min=torch.finfo(p.dtype).tiny)
        focus = wrong ** (gamma_pos * y + gamma_neg * (1 - y))
    log_p, log_not_p = (torch.log(right.clamp(min=EPSILON[reduction])) for right in (p, not_p))
    total = torch.where(targets < 0, 0.0, -focus * (y * log_p + (1 - y) * log_not_p)).sum()
    return total / {"sum": 1, "batch_mean": len(p), "query2label": p.numel() / 1000}[reduction]
