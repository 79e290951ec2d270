"""Global pooling heads and the linear classifiers they end in."""

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
    """Cosine between a feature (B, C) and each class's weight: (B, K) in [-1, 1], no bias (AAM, eq. 1's cos theta)."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        # (C, K) and not nn.Linear's (K, C): the authors' files hold it so.
        self.weight = nn.Parameter(
            F.normalize(torch.empty(channels, num_classes).uniform_(-1, 1), dim=0)
        )

    def forward(self, features: Tensor) -> Tensor:
        cosine = F.normalize(features, dim=1) @ F.normalize(self.weight, dim=0)
        return cosine.clamp(-1, 1)


def classifier(channels: int, num_classes: int, angular: bool) -> nn.Module:
    """The last layer: cosines where the angular margin loss scales them, an ordinary linear layer otherwise."""
    return AngularLinear(channels, num_classes) if angular else nn.Linear(channels, num_classes)


class PoolingHead(nn.Module):
    """Pooling, then one linear (or angular) layer: (B, C, h, w) to logits (B, K). text_dim: width of `vectors` (B, text_dim) of
    the captions, which are appended to the pooled features (004). Parameter names are those of ASL's `head.fc` and, renamed by
    checkpoints.py, of SPML's `linear_classifier`."""

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
        return self.fc(pooled if vectors is None else torch.cat([pooled, vectors], 1))


class BoostLUHead(nn.Module):
    """Class activation maps whose positive values are multiplied by alpha, averaged: (B, C, h, w) to logits (B, K).

    Source: Kim et al., Bridging the Gap between Model Explanations in Partially Annotated Multi-label Classification
    (CVPR 2023), with alpha 5 and the losses of Large Loss Matters.
    """

    def __init__(self, channels: int, num_classes: int, alpha: float = 5.0):
        super().__init__()
        self.alpha = alpha
        self.fc = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.fc(features)
        return torch.where(maps > 0, self.alpha * maps, maps).mean((2, 3))


class MlpHead(nn.Module):
    """Average pooling, a hidden layer as wide as the features, a linear one: (B, C, h, w) to logits (B, K). What 001 adds to
    pretrained networks (Figure 6, which is drawn: the order inside is our reading), with its ablations."""

    def __init__(
        self, channels: int, num_classes: int, batch_norm: bool = True, dropout: float = 0.5
    ):
        super().__init__()
        norm = nn.BatchNorm1d(channels) if batch_norm else nn.Identity()
        self.hidden = nn.Sequential(
            nn.Linear(channels, channels, bias=not batch_norm), norm, nn.ReLU(), nn.Dropout(dropout)
        )
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc(self.hidden(pool(features, "avg")))


class LinearHead(nn.Linear):
    """Logits (B, K) from extracted feature vectors (B, C)."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__(channels, num_classes)
