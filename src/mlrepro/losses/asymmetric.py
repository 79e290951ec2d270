"""Asymmetric loss (Ridnik et al., ICCV 2021)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.numerics import at_least_float32, power, soft_targets

# By reduction: the lower bound inside the logarithms.
EPSILON = {
    "sum": 1e-8,
    "batch_mean": 1e-8,
    "query2label": 1e-5,
}


# One argument for each setting of the authors' code.
def asl(  # noqa: PLR0913
    logits: Tensor,
    targets: Tensor,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
    stop_gradient: bool = True,
    reduction: str = "sum",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-(1 - p)^gamma_pos log p for positives; -(p_m)^gamma_neg log(1 - p_m) for negatives.

    p_m = max(p - clip, 0).
    logits (B, C); targets (B, C): 1 positive, 0 negative, between them a mixture of both,
    negative: ignored.
    stop_gradient: the focusing weight is a constant in the gradient, as in the authors' training.
    reduction: `sum` over all entries, `batch_mean`, that sum / B, or `query2label`, 1000 times that
    sum / (B C), where ignored entries count in C.
    label_smoothing: see `soft_targets`.
    Returns a scalar. Source: Ridnik et al. 2021 and their code; Query2Label's code (Liu et al.
    2021) for its reduction.
    """
    p = torch.sigmoid(at_least_float32(logits))
    y, known = soft_targets(targets, label_smoothing, p.dtype)
    wrong_n = F.relu(p - clip)

    with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_gradient):
        gamma = gamma_neg + (gamma_pos - gamma_neg) * y
        focus = known * power(torch.lerp(wrong_n, 1 - p, y), gamma)

    epsilon = EPSILON[reduction]
    log_p = torch.log(F.threshold(p, epsilon, epsilon))
    log_n = torch.log(F.threshold(1 - wrong_n, epsilon, epsilon))
    total = -(focus * torch.lerp(log_n, log_p, y)).sum()

    divisor = {"sum": 1, "batch_mean": len(p), "query2label": p.numel() / 1000}
    return total / divisor[reduction]
