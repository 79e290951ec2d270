"""Losses on observed labels that followed Cole et al. 2021: EM and EM+APL, LargeLoss, GR, SPLC and Hill.

Observed labels are 1 (positive), 0 (unobserved) or -1 (known negative, which none of the papers has: it is a negative
that no rule relabels). EM, LargeLoss and GR are the sum over entries divided by B*C, SPLC and Hill the sum.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.base import Loss
from mlrepro.losses.binary import at_least_float32, negative_log, soft_bce

APL_SHARE = 0.9  # of a class's unobserved entries that are negatives in the end
GR_EPSILON = 1e-7
MARGIN = 1.0  # subtracted from the logits of observed positives (SPLC, Hill)
SPLC_THRESHOLD = 0.6  # probability above which an unobserved entry becomes a positive
HILL_LAMBDA = 1.5


def em(logits: Tensor, observed: Tensor, alpha: float) -> Tensor:
    """Entropy maximisation: unobserved entries add -alpha times their entropy. (B, C), (B, C) -> scalar. Source: Zhou et al.,
    Acknowledging the Unknown (ECCV 2022)."""
    return em_apl(logits, observed, torch.full_like(logits, -1), alpha, 0.0)


def em_apl(logits: Tensor, observed: Tensor, soft: Tensor, alpha: float, beta: float) -> Tensor:
    """`em` where entries with a pseudo-label `soft` >= 0 add beta times their cross-entropy. All (B, C) -> scalar."""
    p = torch.sigmoid(at_least_float32(logits))
    unobserved = torch.where(soft >= 0, beta * soft_bce(p, soft), -alpha * soft_bce(p, p))
    known = negative_log(torch.where(observed == 1, p, 1 - p))
    return torch.where(observed == 0, unobserved, known).mean()


class PseudoLabelLoss(Loss):
    """`em_apl` with its store of pseudo-labels (N, C); -1 where there is none. After epoch `warm_up` (counted from 1) and each
    later one, every class's APL_SHARE * U / (epochs - warm_up) least probable entries without any label are given their own
    probability as label; U: its unobserved entries at the start."""

    def __init__(self, observed: Tensor, alpha: float, beta: float, warm_up: int):
        super().__init__()
        self.alpha, self.beta, self.warm_up = alpha, beta, warm_up
        self.register_buffer("unobserved", observed == 0)
        self.register_buffer("soft", torch.full(observed.shape, -1.0))

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch, self.epochs = epoch, epochs

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return em_apl(logits, observed_rows, self.soft[rows], self.alpha, self.beta)

    @torch.no_grad()
    def end_epoch(self, predict: Callable[[], Tensor]) -> None:
        if self.epoch + 1 < self.warm_up or self.epoch + 1 == self.epochs:
            return
        p = torch.sigmoid(predict())
        left = self.unobserved & (self.soft < 0)
        counts = (APL_SHARE * self.unobserved.sum(0).double() / (self.epochs - self.warm_up)).long()
        order = torch.where(left, p, torch.inf).argsort(dim=0, stable=True)
        chosen = torch.zeros_like(left).scatter_(
            0, order, torch.arange(len(p), device=p.device)[:, None] < counts
        )
        self.soft.copy_(torch.where(chosen & left, p, self.soft))


class LargeLoss(Loss):
    """Cross-entropy that assumes negatives and rejects the largest losses of a batch's unobserved entries.

    scheme: ll_r drops them, ll_ct and ll_cp make them positives, ll_cp those of later epochs too (`corrected`, (N, C)).
    The first epoch is not modified. Then a batch has ceil(B * C * share) of them, where the share grows by delta_rel
    percent an epoch (ll_cp: stays at it). keep_threshold: ll_cp also corrects the smallest of them for good, as the code
    of 2023 does and that of 2022 does not. Source: Kim et al., Large Loss Matters (CVPR 2022) and their code.
    """

    def __init__(self, scheme: str, observed: Tensor, delta_rel: float, keep_threshold: bool):
        super().__init__()
        self.scheme, self.delta, self.keep_threshold = scheme, delta_rel / 100, keep_threshold
        self.register_buffer(
            "corrected",
            torch.zeros(observed.shape, dtype=torch.bool) if scheme == "ll_cp" else None,
        )

    def start_epoch(self, epoch: int, epochs: int) -> None:
        clean = 1.0
        for _ in range(
            epoch
        ):  # not epoch * delta: the source's rounding decides where ceil would jump
            clean -= self.delta
        self.share = self.delta if self.scheme == "ll_cp" and epoch else 1 - clean

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        if self.corrected is not None:
            observed_rows = torch.where(self.corrected[rows], 1, observed_rows)
        positive = F.softplus(-logits)
        losses = torch.where(observed_rows == 1, positive, F.softplus(logits))
        if count := min(math.ceil(losses.numel() * self.share), losses.numel()):
            candidates = losses.detach().masked_fill(observed_rows != 0, 0)
            threshold = candidates.flatten().topk(count).values[-1]
            large = (observed_rows == 0) & (candidates >= threshold)
            if self.corrected is not None:
                self.corrected[rows] |= (
                    large if self.keep_threshold else large & (candidates > threshold)
                )
            losses = torch.where(large, 0.0 if self.scheme == "ll_r" else positive, losses)
        return losses.mean()


def gr(
    logits: Tensor, observed: Tensor, w: float, b: float, mu: float, s: float, q2: float, q3: float
) -> Tensor:
    """Generalised robust loss. (B, C), (B, C) -> scalar.

    An unobserved entry is a positive with k = sigmoid(w p + b), counts with v = exp(-(p - mu)^2 / (2 s^2)), both constants
    in the gradient, and adds v (k (1 - p^q2) / q2 + (1 - k) (1 - (1 - p)^q3) / q3). Source: Chen et al., Boosting
    Single Positive Multi-label Classification with Generalized Robust Loss (IJCAI 2024). Where their 1e-7 stands is not
    known to us: it is added to every probability that a logarithm or power is taken of.
    """
    p = torch.sigmoid(at_least_float32(logits))
    with torch.no_grad():
        k = torch.sigmoid(w * p + b)
        v = torch.exp(-((p - mu) ** 2) / (2 * s**2))
    right, wrong = p + GR_EPSILON, 1 - p + GR_EPSILON
    unobserved = v * (k * (1 - right**q2) / q2 + (1 - k) * (1 - wrong**q3) / q3)
    known = -torch.log(torch.where(observed == 1, right, wrong))
    return torch.where(observed == 0, unobserved, known).mean()


class GrLoss(Loss):
    """`gr` whose w, b, mu and s move linearly over the epochs, w and b one epoch later than mu and s.

    beta: w first and last, b first and last; alpha: mu and s first, mu and s last. Epochs count from 0, so that the first
    one has the first values; the source's numbering is not known to us.
    """

    def __init__(self, beta: tuple, alpha: tuple, q: tuple):
        super().__init__()
        self.beta, self.alpha, self.q = beta, alpha, q

    def start_epoch(self, epoch: int, epochs: int) -> None:
        (w0, w1, b0, b1), (mu0, s0, mu1, s1) = self.beta, self.alpha
        late, now = max(epoch - 1, 0) / epochs, epoch / epochs
        self.values = (
            w0 + (w1 - w0) * late,
            b0 + (b1 - b0) * late,
            mu0 + (mu1 - mu0) * now,
            s0 + (s1 - s0) * now,
        )

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return gr(logits, observed_rows, *self.values, *self.q)


def splc(logits: Tensor, observed: Tensor, correct: bool) -> Tensor:
    """Focal loss (gamma 2) with a margin on observed positives, summed. (B, C), (B, C) -> scalar.

    correct: unobserved entries above SPLC_THRESHOLD are positives, without the margin. Source: Zhang et al., Simple and
    Robust Loss Design for Multi-Label Learning with Missing Labels (2021) and their code.
    """
    logits = at_least_float32(logits)
    positive = (observed == 1) | (
        correct & (observed == 0) & (torch.sigmoid(logits) > SPLC_THRESHOLD)
    )
    shifted = torch.where(observed == 1, logits - MARGIN, logits)
    return _focal(torch.where(positive, shifted, -shifted)).sum()


class SplcLoss(Loss):
    """`splc`, which relabels from the second epoch on."""

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self.correct = epoch >= 1

    def forward(self, logits: Tensor, observed_rows: Tensor, rows: Tensor) -> Tensor:
        return splc(logits, observed_rows, self.correct)


def hill(logits: Tensor, observed: Tensor) -> Tensor:
    """SPLC's positives, and (1.5 - p) p^2 for all other entries, summed. (B, C), (B, C) -> scalar. Source: as `splc`."""
    logits = at_least_float32(logits)
    p = torch.sigmoid(logits)
    return torch.where(observed == 1, _focal(logits - MARGIN), (HILL_LAMBDA - p) * p**2).sum()


def _focal(logits: Tensor) -> Tensor:
    return -((1 - torch.sigmoid(logits)) ** 2) * F.logsigmoid(logits)
