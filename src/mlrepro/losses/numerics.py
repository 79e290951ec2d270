"""Arithmetic that several losses share."""

import torch
from torch import Tensor

EPSILON = 1e-5  # inside the logarithms of Cole et al. 2021 and of what followed their code


def at_least_float32(logits: Tensor) -> Tensor:
    """Half precision becomes float32, float64 stays float64.

    1e-5 below one is not representable in half precision.
    """
    return logits if logits.dtype == torch.float64 else logits.float()


def negative_log(p: Tensor) -> Tensor:
    """-log(p + 1e-5).

    Finite for every probability, and slightly negative at p = 1, as in the authors' code.
    """
    return -torch.log(p + EPSILON)


def soft_bce(p: Tensor, soft: Tensor) -> Tensor:
    """Cross-entropy of probabilities against soft labels, by entry. (B, C), (B, C) -> (B, C)."""
    return soft * negative_log(p) + (1 - soft) * negative_log(1 - p)


def soft_targets(targets: Tensor, smoothing: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Targets (B, C) with label smoothing as in deep-object-reid, and a mask of the known ones.

    A target t becomes t (1 - smoothing), and 0 becomes smoothing. Ignored entries, which are
    negative, become 0. The mask (B, C) is 0 for these and 1 for the others.
    """
    targets = targets.to(dtype)

    # Arithmetic costs less than comparing and torch.where.
    y = targets.clamp(min=0)
    known = 1 + targets.sign().clamp(max=0)

    if smoothing:
        y = torch.where(targets == 0, smoothing, y * (1 - smoothing))
    return y, known


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """base ** exponent for a base >= 0, in less time than torch's.

    0 is taken as the smallest normal number: the derivative of 0^gamma is infinite for gamma < 1,
    and times sigmoid's 0 it would be NaN.
    """
    return torch.exp2(exponent * torch.log2(base + torch.finfo(base.dtype).tiny))
