"""Expected positive regularisation on observed labels (Cole et al., CVPR 2021).

Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative). The paper has no known
negatives, and its loss says nothing about entries not observed to be positive: -log(1 - p) is
added for the known ones. Rows and batches without positives are valid.
"""

from functools import partial

import torch
from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.losses.base import BatchLoss, LossContext, Settings
from mlrepro.losses.grid_terms import GridTerms, LabelStates
from mlrepro.losses.numerics import at_least_float32
from mlrepro.losses.observed_only import observed_terms


def count_penalty(p: Tensor, expected_positives: float) -> Tensor:
    """((mean number of predicted positives - expected_positives) / C)^2, a scalar.

    Source: Cole et al. 2021, R_k.
    """
    predicted = p.sum(dim=1).mean()
    return ((predicted - expected_positives) / p.shape[1]) ** 2


def epr(logits: Tensor, observed: Tensor, expected_positives: float) -> Tensor:
    """The observed entries' mean over B*C, and `count_penalty`. (B, C), (B, C) -> scalar."""
    p = torch.sigmoid(at_least_float32(logits))
    return observed_terms(p, observed).mean() + count_penalty(p, expected_positives)


def expected_count(settings: Settings, context: LossContext) -> float:
    """EPR's and ROLE's k: labels a picture, as the settings say or as measured on validation.

    Raises InputError for a number that cannot be.
    """
    count = settings.expected_positives
    if count == "validation":
        count = context.expected_positives

    classes = context.targets.shape[1]
    if count is None or not 0 < count <= classes:  # NaN is refused, too
        raise InputError(
            f"loss.expected_positives: {count} labels a picture with {classes} classes; give a "
            f"number above 0 and up to {classes}, or `validation` with a labelled validation split"
        )
    return count


def build(settings: Settings, context: LossContext) -> BatchLoss:
    return BatchLoss(partial(epr, expected_positives=expected_count(settings, context)))


def grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    return GridTerms(
        positive=(states.observed == 1).float(),
        negative=(states.observed == -1).float(),
        penalty=1.0,
    )
