"""Losses on observed labels of Cole et al., Multi-Label Learning from Single Positive Labels (CVPR 2021).

Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative). The paper has no known negatives: `an`, `an_ls`
and `wan` treat them as any other entry that is not positive, which is how the paper's formulas read; `epr` and `role`,
which say nothing about entries not observed to be positive, add -log(1 - p) for them, and `pr` ranks them below. Every
loss is the sum over entries divided by B*C. Rows and batches without positives are valid everywhere.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from mlrepro.losses.base import Loss
from mlrepro.losses.binary import at_least_float32, bce_ls, negative_log, soft_bce
from mlrepro.metrics.average_precision import average_precision, mean_average_precision

OBSERVED_PROBABILITY = 0.995
UNOBSERVED_PROBABILITY = 0.6  # the upper end; the lower one is 0.4
ESTIMATE_CLAMP = (
    1e-5  # label estimates that a training starts from are at least this far from 0 and 1
)


def an(logits: Tensor, observed: Tensor) -> Tensor:
    """Assume negative: every entry that is not observed to be positive is a negative. (B, C), (B, C) -> scalar."""
    return an_ls(logits, observed, smoothing=0.0)


def an_ls(logits: Tensor, observed: Tensor, smoothing: float = 0.1) -> Tensor:
    """`an` with smoothed targets, as `bce_ls`. (B, C), (B, C) -> scalar."""
    return bce_ls(logits, observed == 1, smoothing)


def wan(logits: Tensor, observed: Tensor, negative_weight: float | None = None) -> Tensor:
    """`an` with its negative terms weighted, by default with 1 / (C - 1). (B, C), (B, C) -> scalar."""
    if negative_weight is None:
        negative_weight = 1 / max(logits.shape[1] - 1, 1)
    p = torch.sigmoid(at_least_float32(logits))
    return torch.where(observed == 1, negative_log(p), negative_weight * negative_log(1 - p)).mean()


def iu(logits: Tensor, observed: Tensor) -> Tensor:
    """Ignore unobserved: cross-entropy of the observed entries. (B, C), (B, C) -> scalar. With one known negative a picture it is
    the paper's IU, with all true negatives known IUN."""
    return observed_terms(torch.sigmoid(at_least_float32(logits)), observed).mean()


def pr(logits: Tensor, observed: Tensor) -> Tensor:
    """Pairwise ranking: max(0, 1 - p_i + p_j) for each positive i and each other entry j. (B, C), (B, C) -> scalar."""
    p = torch.sigmoid(at_least_float32(logits))
    rows, classes = torch.nonzero(observed == 1, as_tuple=True)
    margins = (1 - p[rows, classes, None] + p[rows]).clamp(min=0)
    return torch.where(observed[rows] == 1, 0.0, margins).sum() / p.numel()


def observed_terms(p: Tensor, observed: Tensor) -> Tensor:
    """Cross-entropy of the observed entries, 0 elsewhere. (B, C), (B, C) -> (B, C)."""
    return torch.where(
        observed == 1, negative_log(p), torch.where(observed == -1, negative_log(1 - p), 0.0)
    )


def count_penalty(p: Tensor, expected_positives: float) -> Tensor:
    """((mean number of predicted positives - expected_positives) / C)^2, a scalar. Cole et al. 2021, R_k."""
    return ((p.sum(dim=1).mean() - expected_positives) / p.shape[1]) ** 2


def epr(logits: Tensor, observed: Tensor, expected_positives: float) -> Tensor:
    """Expected positive regularisation: the observed entries and `count_penalty`. (B, C), (B, C) -> scalar."""
    p = torch.sigmoid(at_least_float32(logits))
    return observed_terms(p, observed).mean() + count_penalty(p, expected_positives)


def role(logits: Tensor, estimates: Tensor, observed: Tensor, expected_positives: float) -> Tensor:
    """Regularised online label estimation: classifier and label estimator, each fitted to the other and the data. logits,
    estimates (the label estimator's logits), observed: (B, C). Returns a scalar. Cole et al. 2021, L_ROLE."""
    p = torch.sigmoid(at_least_float32(logits))
    q = torch.sigmoid(at_least_float32(estimates))
    return (
        _fit(p, q.detach(), observed, expected_positives)
        + _fit(q, p.detach(), observed, expected_positives)
    ) / 2


def _fit(p: Tensor, soft: Tensor, observed: Tensor, expected_positives: float) -> Tensor:
    # The cross term covers the observed entries too, which therefore count twice.
    return (observed_terms(p, observed) + soft_bce(p, soft)).mean() + count_penalty(
        p, expected_positives
    )


class RoleLoss(Loss):
    """`role` with its label estimator: one free float32 logit for every training row and class.

    The logits are a dense parameter: under Adam rows outside the batch keep moving, as they do in the authors' code.
    observed (N, C): all training rows, read only here. Unobserved entries start at a probability drawn from about
    [0.4, 0.6] (uniform in the logit), observed ones at 0.995 or 0.005. Source: Cole et al. 2021 and their code.
    """

    def __init__(self, observed: Tensor, expected_positives: float, generator: torch.Generator):
        super().__init__()
        self.expected_positives = expected_positives
        uniform = torch.rand(observed.shape, generator=generator, device=generator.device).to(
            observed.device
        )
        unobserved = _logit(UNOBSERVED_PROBABILITY) * (2 * uniform - 1)
        known = _logit(OBSERVED_PROBABILITY)
        start = torch.where(observed == 1, known, torch.where(observed == -1, -known, unobserved))
        self.logits = nn.Parameter(start)

    @torch.no_grad()
    def restart(self, estimates: Tensor) -> None:
        """Begins anew from estimated labels (N, C), probabilities: between the two stages of the paper's LinearInit."""
        self.logits.copy_(torch.logit(estimates, eps=ESTIMATE_CLAMP))

    @torch.no_grad()
    def diagnostics(self, labels: np.ndarray) -> dict[str, float]:
        """How near the estimated labels are to the true ones: their mAP in percent, and how many a picture they make."""
        estimates = self.logits.cpu().numpy()
        return {
            "estimate_mAP": mean_average_precision(average_precision(estimates, labels)),
            "estimate_positives": float(self.logits.sigmoid().sum(1).mean()),
        }

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        """logits, observed_rows (B, C); rows (B,): the indices of the batch in the training rows. Returns a scalar."""
        return role(logits, self.logits[rows], observed_rows, self.expected_positives)


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
