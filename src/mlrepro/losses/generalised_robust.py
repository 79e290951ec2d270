"""Generalised robust loss on observed labels.

Chen et al., Boosting Single Positive Multi-label Classification with Generalized Robust Loss (IJCAI
2024). Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative, which the paper does
not have: it is a negative whose term is the cross-entropy). The sum over entries is divided by B*C.
"""

import torch
from torch import Tensor

from mlrepro.losses.base import Loss, LossContext, Settings
from mlrepro.losses.numerics import at_least_float32

GR_EPSILON = 1e-7


# One argument for each parameter of the paper, under its name there.
def gr(  # noqa: PLR0913
    logits: Tensor, observed: Tensor, w: float, b: float, mu: float, s: float, q2: float, q3: float
) -> Tensor:
    """Generalised robust loss. (B, C), (B, C) -> scalar.

    An unobserved entry is a positive with k = sigmoid(w p + b), counts with
    v = exp(-(p - mu)^2 / (2 s^2)), both constants in the gradient, and adds
    v (k (1 - p^q2) / q2 + (1 - k) (1 - (1 - p)^q3) / q3). Source: Chen et al. 2024. Where their
    1e-7 stands is not known to us: it is added to every probability that a logarithm or power is
    taken of.
    """
    p = torch.sigmoid(at_least_float32(logits))
    with torch.no_grad():
        k = torch.sigmoid(w * p + b)
        v = torch.exp(-((p - mu) ** 2) / (2 * s**2))

    # The robust losses of a positive and of a negative, with Box-Cox powers q2 and q3.
    right = p + GR_EPSILON
    wrong = 1 - p + GR_EPSILON
    as_positive = k * (1 - right**q2) / q2
    as_negative = (1 - k) * (1 - wrong**q3) / q3
    unobserved = v * (as_positive + as_negative)
    known = -torch.log(torch.where(observed == 1, right, wrong))
    return torch.where(observed == 0, unobserved, known).mean()


class GrLoss(Loss):
    """`gr` whose w, b, mu and s move linearly over the epochs, w and b one epoch later.

    beta: w first and last, b first and last; alpha: mu and s first, mu and s last; q: q2 and q3.
    Epochs count from 0, so that the first one has the first values; the source's numbering is not
    known to us.
    """

    def __init__(self, beta: tuple, alpha: tuple, q: tuple):
        super().__init__()
        self.beta = beta
        self.alpha = alpha
        self.q = q

    def start_epoch(self, epoch: int, epochs: int) -> None:
        w_first, w_last, b_first, b_last = self.beta
        mu_first, s_first, mu_last, s_last = self.alpha

        late = max(epoch - 1, 0) / epochs
        now = epoch / epochs
        self.values = (
            w_first + (w_last - w_first) * late,
            b_first + (b_last - b_first) * late,
            mu_first + (mu_last - mu_first) * now,
            s_first + (s_last - s_first) * now,
        )

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return gr(logits, observed_rows, *self.values, *self.q)


def build(settings: Settings, context: LossContext) -> GrLoss:
    return GrLoss(settings.beta, settings.alpha, settings.q)
