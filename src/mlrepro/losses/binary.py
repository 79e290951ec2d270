"""Binary cross-entropy on full labels, with the clamped logarithm of Cole et al. (CVPR 2021)."""

import torch
from torch import Tensor

EPSILON = 1e-5


def at_least_float32(logits: Tensor) -> Tensor:
    """Half precision becomes float32 (1e-5 below one is not representable in it); float64 stays float64."""
    return logits if logits.dtype == torch.float64 else logits.float()


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
