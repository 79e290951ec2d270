"""Asymmetric angular margin loss (AAM; Prokofiev and Sovrasov, arXiv 2209.06585) of logits that are cosines."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.binary import at_least_float32, power, soft_targets

LOG_EPSILON = math.log(1e-8)  # lower bound of the logarithms of version otx


def aam(logits: Tensor, targets: Tensor, **options) -> Tensor:
    """The sum of `aam_elements`, as deep-object-reid trains. (B, C), (B, C) -> scalar; 0 where all entries are ignored."""
    return aam_elements(logits, targets, **options).sum()


def aam_elements(
    logits: Tensor,
    targets: Tensor,
    scale: float = 23.0,
    k: float = 0.7,
    margin: float = 0.0,
    gamma_neg: float = 1.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
    version: str = "released",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-k/s p-^gamma_pos log p+ for positives and -(1 - k)/s p+^gamma_neg log p- for negatives, by entry.

    p+ = sigmoid(s (cos - m)), p- = min(sigmoid(-s (cos + m)) + clip, 1); s: scale, m: margin. The weights p^gamma are
    differentiated. logits (B, C): cosines, plus a bias where the head has one. targets (B, C): 1 positive, 0 negative,
    between them a mixture of both (the weight is then the mixed p to the power of the mixed gamma), negative: ignored,
    which adds 0 without gradient. label_smoothing: see `soft_targets`.
    version: `released` is deep-object-reid's, which does not clip where both gammas are 0; `otx`, its successor's,
    always clips, does not divide by s, and bounds the logarithms at log 1e-8 (its head multiplies by s: scale 1 there).
    Returns (B, C). Source: eq. 1 with its exponents as in the code and in Table 7; the printed one has them swapped.
    """
    logits = at_least_float32(logits)
    y, known = soft_targets(targets, label_smoothing, logits.dtype)
    otx = version == "otx"
    z_p = scale * (logits - margin)
    z_n = z_p + 2 * scale * margin if margin else z_p
    p = torch.sigmoid(z_p)
    if clip and (otx or gamma_pos or gamma_neg):
        n = 1 - F.relu((torch.sigmoid(z_n) if margin else p) - clip)
        log_n = torch.log(n)
    else:
        n, log_n = torch.sigmoid(-z_n), F.logsigmoid(-z_n)
    log_p = F.logsigmoid(z_p)
    if otx:
        log_p, log_n = log_p.clamp(min=LOG_EPSILON), log_n.clamp(min=LOG_EPSILON)
    weight = power(torch.lerp(p, n, y), gamma_neg + (gamma_pos - gamma_neg) * y)
    share = -1 if otx else -1 / scale
    return weight * torch.lerp((1 - k) * share * log_n, k * share * log_p, y) * known


def scale_for(classes: int) -> float:
    """The scale that deep-object-reid computes when asked to (the paper's runs do not): sqrt(5) ln(K - 1), in [7, 30]."""
    return min(max(math.sqrt(5) * math.log(max(classes - 1, 1)), 7.0), 30.0)


def mix_targets(targets: Tensor, order: Tensor, share: float) -> Tensor:
    """Targets (B, C) of pictures mixed as share * picture + (1 - share) * picture[order], in [0, 1]; order (B,).

    An entry that either picture ignores is -1, ignored: a clamp alone would make it a negative.
    """
    other = targets[order]
    mixed = (share * targets + (1 - share) * other).clamp(0, 1)
    return torch.where((targets < 0) | (other < 0), -1.0, mixed)
