"""Ridge regression: squared error of linear scores, whose minimum has a closed form."""

import torch
from torch import Tensor

from mlrepro.losses.numerics import at_least_float32


def ridge(logits: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """Squared error against 1 (positive) and -1 (negative), the sum over all divided by B*C.

    logits (B, C); targets (B, C): 1 positive, 0 negative, -1 ignored. Returns a scalar. The penalty
    is of the weights and has no part in the error: training/grid/closed_form.py minimises both.
    Source: Hoerl and Kennard 1970.
    """
    known = targets != -1
    wanted = torch.where(targets == 1, 1.0, -1.0)
    errors = (at_least_float32(logits) - wanted) ** 2
    return torch.where(known, errors, 0.0).mean()
