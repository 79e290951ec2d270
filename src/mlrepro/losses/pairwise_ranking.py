"""Pairwise ranking on observed labels (Cole et al., CVPR 2021)."""

import torch
from torch import Tensor

from mlrepro.losses.numerics import at_least_float32


def pr(logits: Tensor, observed: Tensor) -> Tensor:
    """max(0, 1 - p_i + p_j) for each positive i and each other entry j. (B, C), (B, C) -> scalar.

    observed: 1 positive, 0 unobserved, -1 known negative, which the paper does not have and which
    is ranked below as any other entry. The sum is divided by B*C. Rows and batches without
    positives are valid.
    """
    p = torch.sigmoid(at_least_float32(logits))
    # One row a positive: its margin to every entry of its picture.
    rows, classes = torch.nonzero(observed == 1, as_tuple=True)
    positive = p[rows, classes, None]
    margins = (1 - positive + p[rows]).clamp(min=0)
    # Positives are not ranked among themselves.
    margins = torch.where(observed[rows] == 1, 0.0, margins)
    return margins.sum() / p.numel()
