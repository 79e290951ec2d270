"""Global pooling, the layers that classify a pooled vector, and the head that is both."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLINGS = ("avg", "max", "avg+max")


def pool(features: Tensor, pooling: str) -> Tensor:
    """(B, C, h, w) to (B, C). `avg+max` is the sum of both, as in the AAM paper's graph branch."""
    if pooling == "avg":
        return features.mean((2, 3))
    if pooling == "max":
        return features.amax((2, 3))
    return features.mean((2, 3)) + features.amax((2, 3))


class AngularLinear(nn.Module):
    """Cosine between a feature (B, C) and each class's weight: (B, K) in [-1, 1], no bias.

    Source: the AAM paper, eq. 1's cos theta.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        # (C, K) and not nn.Linear's (K, C): the authors' files hold it so.
        drawn = torch.empty(channels, num_classes).uniform_(-1, 1)
        self.weight = nn.Parameter(F.normalize(drawn, dim=0))

    def forward(self, features: Tensor) -> Tensor:
        cosine = F.normalize(features, dim=1) @ F.normalize(self.weight, dim=0)
        return cosine.clamp(-1, 1)


def classifier(channels: int, num_classes: int, angular: bool) -> nn.Module:
    """The last layer: cosines where the angular margin loss scales them, otherwise a linear one."""
    return AngularLinear(channels, num_classes) if angular else nn.Linear(channels, num_classes)


class PoolingHead(nn.Module):
    """Pooling, then one linear (or angular) layer: (B, C, h, w) to logits (B, K).

    text_dim: width of the captions' `vectors` (B, text_dim), which are appended to the pooled
        features (the captions + images study)

    Parameter names are those of ASL's `head.fc` and, renamed by models/layouts.py, of Cole et al.'s
    `linear_classifier`.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        pooling: str = "avg",
        angular: bool = False,
        text_dim: int = 0,
    ):
        super().__init__()
        self.pooling = pooling
        self.fc = classifier(channels + text_dim, num_classes, angular)

    def forward(self, features: Tensor, vectors: Tensor | None = None) -> Tensor:
        pooled = pool(features, self.pooling)
        if vectors is not None:
            pooled = torch.cat([pooled, vectors], 1)
        return self.fc(pooled)
