"""Losses on observed labels that take every entry not observed to be positive for a negative.

Cole et al., Multi-Label Learning from Single Positive Labels (CVPR 2021). Observed labels are 1
(positive), 0 (unobserved) or -1 (known negative). The paper has no known negatives: here they are
as any other entry that is not positive, which is how the paper's formulas read. Every loss is the
sum over entries divided by B*C. Rows and batches without positives are valid.
"""

import torch
from torch import Tensor

from mlrepro.losses.base import Settings
from mlrepro.losses.binary import bce_ls
from mlrepro.losses.grid_terms import GridTerms, LabelStates
from mlrepro.losses.numerics import at_least_float32, negative_log


def an(logits: Tensor, observed: Tensor) -> Tensor:
    """Assume negative: all that is not observed to be positive. (B, C), (B, C) -> scalar."""
    return an_ls(logits, observed, smoothing=0.0)


def an_ls(logits: Tensor, observed: Tensor, smoothing: float = 0.1) -> Tensor:
    """`an` with smoothed targets, as `bce_ls`. (B, C), (B, C) -> scalar."""
    return bce_ls(logits, observed == 1, smoothing)


def wan(logits: Tensor, observed: Tensor, negative_weight: float | None = None) -> Tensor:
    """`an` with weighted negative terms. (B, C), (B, C) -> scalar.

    negative_weight: by default 1 / (C - 1).
    """
    if negative_weight is None:
        negative_weight = default_negative_weight(logits.shape[1])
    p = torch.sigmoid(at_least_float32(logits))
    as_positive = negative_log(p)
    as_negative = negative_weight * negative_log(1 - p)
    return torch.where(observed == 1, as_positive, as_negative).mean()


def default_negative_weight(classes: int) -> float:
    return 1 / max(classes - 1, 1)


def grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    """Of `an` and `an_ls`."""
    smoothing = getattr(settings, "smoothing", 0.0)
    positive = torch.where(states.observed == 1, 1 - smoothing, smoothing)
    return GridTerms(positive, 1 - positive)


def wan_grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    weight = settings.negative_weight
    if weight is None:
        weight = default_negative_weight(classes)
    return GridTerms((states.observed == 1).float(), weight * (states.observed != 1))
