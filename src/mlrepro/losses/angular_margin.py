"""Asymmetric angular margin loss of logits that are cosines.

AAM: Prokofiev and Sovrasov 2022, arXiv 2209.06585.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mlrepro.losses.numerics import at_least_float32, power, soft_targets

LOG_EPSILON = math.log(1e-8)  # lower bound of the logarithms of version otx


def aam(logits: Tensor, targets: Tensor, **options) -> Tensor:
    """The sum of `aam_elements`, as deep-object-reid trains. (B, C), (B, C) -> scalar.

    It is 0 where all entries are ignored.
    """
    return aam_elements(logits, targets, **options).sum()


# One argument for each setting of the authors' code.
def aam_elements(  # noqa: PLR0913
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
    """-k/s p-^gamma_pos log p+ for positives and -(1 - k)/s p+^gamma_neg log p- for negatives.

    p+ = sigmoid(s (cos - m)), p- = min(sigmoid(-s (cos + m)) + clip, 1); s: scale, m: margin. The
    weights p^gamma are differentiated.
    logits (B, C): cosines, plus a bias where the head has one.
    targets (B, C): 1 positive, 0 negative, between them a mixture of both (the weight is then the
    mixed p to the power of the mixed gamma), negative: ignored, which adds 0 without gradient.
    label_smoothing: see `soft_targets`.
    version: `released` is deep-object-reid's, which does not clip where both gammas are 0; `otx`,
    its successor's, always clips, does not divide by s, and bounds the logarithms at log 1e-8 (its
    head multiplies by s: scale 1 there).
    Returns (B, C), by entry. Source: eq. 1 with its exponents as in the code and in Table 7; the
    printed one has them swapped.
    """
    logits = at_least_float32(logits)
    y, known = soft_targets(targets, label_smoothing, logits.dtype)
    otx = version == "otx"

    # n is p-, the other names say whether they are of p+ (_p) or p- (_n).
    z_p = scale * (logits - margin)
    z_n = z_p + 2 * scale * margin if margin else z_p
    p = torch.sigmoid(z_p)
    log_p = F.logsigmoid(z_p)
    if clip and (otx or gamma_pos or gamma_neg):
        wrong_n = torch.sigmoid(z_n) if margin else p
        n = 1 - F.relu(wrong_n - clip)
        log_n = torch.log(n)
    else:
        n = torch.sigmoid(-z_n)
        log_n = F.logsigmoid(-z_n)

    if otx:
        log_p = log_p.clamp(min=LOG_EPSILON)
        log_n = log_n.clamp(min=LOG_EPSILON)

    weight = power(torch.lerp(p, n, y), gamma_neg + (gamma_pos - gamma_neg) * y)
    share = -1 if otx else -1 / scale
    return weight * torch.lerp((1 - k) * share * log_n, k * share * log_p, y) * known
