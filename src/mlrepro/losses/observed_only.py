"""Cross-entropy of the observed entries alone (Cole et al., CVPR 2021).

Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative). The loss is the sum over
entries divided by B*C. Rows and batches without any observed entry are valid.
"""

import torch
from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.losses.base import BatchLoss, LossContext, Settings
from mlrepro.losses.grid_terms import GridTerms, LabelStates
from mlrepro.losses.numerics import at_least_float32, negative_log


def observed_terms(p: Tensor, observed: Tensor) -> Tensor:
    """Cross-entropy of the observed entries, 0 elsewhere. (B, C), (B, C) -> (B, C)."""
    known_negative = torch.where(observed == -1, negative_log(1 - p), 0.0)
    return torch.where(observed == 1, negative_log(p), known_negative)


def iu(logits: Tensor, observed: Tensor) -> Tensor:
    """Ignore unobserved: cross-entropy of the observed entries. (B, C), (B, C) -> scalar.

    With one known negative a picture it is the paper's IU, with all true negatives known IUN.
    """
    return observed_terms(torch.sigmoid(at_least_float32(logits)), observed).mean()


def build_iu(settings: Settings, context: LossContext) -> BatchLoss:
    if not (context.targets == -1).any():
        raise InputError(
            "loss iu: no training picture has a negative label to observe; use iun or an"
        )
    return BatchLoss(iu)


def iu_grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    return GridTerms((states.observed == 1).float(), states.iu_negative.float())


def iun_grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    true_negative = (states.observed == 0) & (states.full == 0)
    known_negative = (states.observed == -1) | true_negative
    return GridTerms((states.observed == 1).float(), known_negative.float())
