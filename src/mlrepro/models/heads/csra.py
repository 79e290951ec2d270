"""Class-specific residual attention (Zhu and Wu, ICCV 2021)."""

import math

import torch
from torch import Tensor, nn

from mlrepro.errors import InputError

# Softmax temperature of each head, by the number of heads. Infinity is max pooling: the authors
# write 99.
TEMPERATURES = {
    1: [1],
    2: [1, math.inf],
    4: [1, 2, 4, math.inf],
    6: [1, 2, 3, 4, 5, math.inf],
    8: [1, 2, 3, 4, 5, 6, 7, math.inf],
}


class CSRAHead(nn.Module):
    """(B, C, h, w) to logits (B, K): mean score plus `lam` times the attended one, over the heads.

    The score of a class at a position is the projection of the feature on the class's unit weight
    vector. heads: 1, 2, 4, 6 or 8; it sets the temperatures.
    """

    def __init__(self, channels: int, num_classes: int, heads: int = 1, lam: float = 0.1):
        super().__init__()
        if heads not in TEMPERATURES:
            raise InputError(
                f"heads: CSRA has temperatures for {list(TEMPERATURES)} heads, not for {heads!r}"
            )
        self.lam = lam
        self.temperatures = TEMPERATURES[heads]
        bound = channels**-0.5  # that of the authors' 1x1 convolutions
        self.weight = nn.Parameter(
            torch.empty(heads, num_classes, channels).uniform_(-bound, bound)
        )

    def forward(self, features: Tensor) -> Tensor:
        # The projection on each class's unit weight vector, at each of the n = h w positions.
        unit = self.weight / self.weight.norm(dim=2, keepdim=True)
        scores = torch.einsum("hkc,bcn->bhkn", unit, features.flatten(2))

        # Plain average over positions, and over it what the class's own attention sees.
        logits = scores.mean(3).sum(1)
        for score, temperature in zip(scores.unbind(1), self.temperatures, strict=True):
            if temperature == math.inf:
                attended = score.amax(2)
            else:
                attended = (torch.softmax(temperature * score, dim=2) * score).sum(2)
            logits = logits + self.lam * attended
        return logits
