"""Binary cross-entropy on full labels, with the clamped logarithm of Cole et al. (CVPR 2021)."""

import torch
from torch import Tensor

from mlrepro.losses.base import Settings
from mlrepro.losses.grid_terms import GridTerms, LabelStates
from mlrepro.losses.numerics import at_least_float32, negative_log


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, the sum over all entries divided by B*C.

    logits (B, C); targets (B, C): 1 positive, 0 negative, -1 ignored (adds 0 and has gradient 0,
    but still counts in the divisor). Returns a scalar. Source: Cole et al. 2021, L_BCE.
    """
    return bce_ls(logits, targets, smoothing=0.0)


def bce_ls(logits: Tensor, targets: Tensor, smoothing: float = 0.1) -> Tensor:
    """`bce` against targets 1 - smoothing and smoothing (0.9 / 0.1, not 0.95 / 0.05).

    Source: Cole et al. 2021.
    """
    p = torch.sigmoid(at_least_float32(logits))
    positive = targets == 1
    # The terms of the label itself, and of the opposite one.
    right = torch.where(positive, p, 1 - p)
    wrong = torch.where(positive, 1 - p, p)
    losses = (1 - smoothing) * negative_log(right)
    losses = losses + smoothing * negative_log(wrong)
    return torch.where(targets == -1, 0.0, losses).mean()


def grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    """Of `bce` and `bce_ls`."""
    smoothing = getattr(settings, "smoothing", 0.0)
    positive = torch.where(states.full == 1, 1 - smoothing, smoothing)
    known = states.full != -1
    return GridTerms(positive * known, (1 - positive) * known)
