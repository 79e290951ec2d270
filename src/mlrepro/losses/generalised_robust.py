"""Generalised robust loss on observed labels.

Chen et al., Boosting Single Positive Multi-label Classification with Generalized Robust Loss (IJCAI
2024). Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative, which the paper does
not have: it is a negative whose term is the cross-entropy). The sum over entries is divided by B*C.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.numerics import at_least_float32

GR_EPSILON = 1e-7  # in the logarithm of observed positives, and nowhere else


# One argument for each parameter of the paper, under its name there.
def gr(  # noqa: PLR0913
    logits: Tensor, observed: Tensor, w: float, b: float, mu: float, s: float, q2: float, q3: float
) -> Tensor:
    """Generalised robust loss. (B, C), (B, C) -> scalar.

    A positive adds -log(p + 1e-7). An unobserved entry is a positive with k = sigmoid(w p + b),
    counts with v = exp(-(p - mu)^2 / (2 s^2)), both constants in the gradient, and adds
    v (k (1 - p^q2) / q2 + (1 - k) (1 - (1 - p)^q3) / q3). Source: Chen et al. 2024 and their code.
    """
    logits = at_least_float32(logits)
    p = torch.sigmoid(logits)
    with torch.no_grad():
        k = torch.sigmoid(w * p + b)
        v = torch.exp(-((p - mu) ** 2) / (2 * s**2))

    log_p = F.logsigmoid(logits)
    log_not_p = F.logsigmoid(-logits)
    as_positive = k * _box_cox(log_p, q2)
    as_negative = (1 - k) * _box_cox(log_not_p, q3)
    unobserved = v * (as_positive + as_negative)

    known = torch.where(observed == 1, -torch.log(p + GR_EPSILON), -log_not_p)
    return torch.where(observed == 0, unobserved, known).mean()


def _box_cox(log_p: Tensor, q: float) -> Tensor:
    """(1 - p^q) / q of a probability's logarithm.

    Of a p near 0 the derivative q p^(q - 1) is infinite in float32, and times sigmoid's 0 it is
    NaN.
    Through the logarithm the gradient is finite for every logit.
    """
    return -torch.expm1(q * log_p) / q


class GrLoss(Loss):
    """`gr` whose w, b, mu and s move linearly over the epochs, w and b one epoch later.

    beta: w at the start and at the end, b likewise; alpha: mu and s at the start, mu and s at the
    end; q: q2 and q3. The authors' epochs count from 1: mu and s have left their start in the first
    one and are at their end in the last, w and b are at their start in the first.
    """

    def __init__(self, beta: tuple, alpha: tuple, q: tuple):
        super().__init__()
        self.beta = beta
        self.alpha = alpha
        self.q = q

    def start_epoch(self, epoch: int, epochs: int) -> None:
        w_start, w_end, b_start, b_end = self.beta
        mu_start, s_start, mu_end, s_end = self.alpha

        # Ours count from 0.
        late = epoch / epochs
        now = (epoch + 1) / epochs
        self.values = (
            w_start + (w_end - w_start) * late,
            b_start + (b_end - b_start) * late,
            mu_start + (mu_end - mu_start) * now,
            s_start + (s_end - s_start) * now,
        )

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return gr(logits, observed_rows, *self.values, *self.q)


def build(settings: Settings, context: LossContext) -> GrLoss:
    return GrLoss(settings.beta, settings.alpha, settings.q)
