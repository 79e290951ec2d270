"""Regularised online label estimation on observed labels (Cole et al., CVPR 2021).

Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative). The paper has no known
negatives, and its loss says nothing about entries not observed to be positive: -log(1 - p) is
added for the known ones. Rows and batches without positives are valid.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.expected_positives import count_penalty, expected_count
from mlrepro.losses.grid_terms import GridTerms, LabelStates
from mlrepro.losses.numerics import at_least_float32, soft_bce
from mlrepro.losses.observed_only import observed_terms
from mlrepro.metrics.average_precision import average_precision, mean_average_precision

# Probabilities that the label estimates start from.
OBSERVED_PROBABILITY = 0.995
UNOBSERVED_PROBABILITY = 0.6  # the upper end; the lower one is 0.4

# Estimates that a training starts from are at least this far from 0 and 1.
ESTIMATE_CLAMP = 1e-5


def role(logits: Tensor, estimates: Tensor, observed: Tensor, expected_positives: float) -> Tensor:
    """Classifier and label estimator, each fitted to the other and to the data.

    logits, estimates (the label estimator's logits), observed: (B, C). Returns a scalar.
    Source: Cole et al. 2021, L_ROLE.
    """
    p = torch.sigmoid(at_least_float32(logits))
    q = torch.sigmoid(at_least_float32(estimates))
    classifier_fit = _fit(p, q.detach(), observed, expected_positives)
    estimator_fit = _fit(q, p.detach(), observed, expected_positives)
    return (classifier_fit + estimator_fit) / 2


def _fit(p: Tensor, soft: Tensor, observed: Tensor, expected_positives: float) -> Tensor:
    # The cross term covers the observed entries too, which therefore count twice.
    entries = observed_terms(p, observed) + soft_bce(p, soft)
    return entries.mean() + count_penalty(p, expected_positives)


class RoleLoss(Loss):
    """`role` with its label estimator: one free float32 logit for every training row and class.

    The logits are a dense parameter: under Adam rows outside the batch keep moving, as they do in
    the authors' code. observed (N, C): all training rows, read only here. Unobserved entries start
    at a probability drawn from about [0.4, 0.6] (uniform in the logit), observed ones at 0.995 or
    0.005. Source: Cole et al. 2021 and their code.
    """

    def __init__(self, observed: Tensor, expected_positives: float, generator: torch.Generator):
        super().__init__()
        self.expected_positives = expected_positives

        uniform = torch.rand(observed.shape, generator=generator, device=generator.device)
        uniform = uniform.to(observed.device)
        unobserved = _logit(UNOBSERVED_PROBABILITY) * (2 * uniform - 1)

        known = _logit(OBSERVED_PROBABILITY)
        start = torch.where(observed == 1, known, unobserved)
        start = torch.where(observed == -1, -known, start)
        self.logits = nn.Parameter(start)

    @torch.no_grad()
    def restart(self, estimates: Tensor) -> None:
        """Begins anew from estimated labels (N, C), probabilities.

        This is between the two stages of the paper's LinearInit.
        """
        self.logits.copy_(torch.logit(estimates, eps=ESTIMATE_CLAMP))

    @torch.no_grad()
    def diagnostics(self, labels: np.ndarray) -> dict[str, float]:
        """How near the estimated labels are to the true ones (N, C).

        Their mAP in percent, and how many a picture they make.
        """
        estimates = self.logits.cpu().numpy()
        return {
            "estimate_mAP": mean_average_precision(average_precision(estimates, labels)),
            "estimate_positives": float(self.logits.sigmoid().sum(1).mean()),
        }

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        """A scalar of logits and observed_rows (B, C); rows (B,): indices in the training rows."""
        return role(logits, self.logits[rows], observed_rows, self.expected_positives)


def build(settings: Settings, context: LossContext) -> RoleLoss:
    return RoleLoss(context.targets, expected_count(settings, context), context.generator)


def grid_terms(settings: Settings, classes: int, states: LabelStates) -> GridTerms:
    """All halved: the loss is the mean of two fits, of the classifier and of the estimator."""
    return GridTerms(
        positive=(states.observed == 1) * 0.5,
        negative=(states.observed == -1) * 0.5,
        penalty=0.5,
        cross_weight=0.5,
    )


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
