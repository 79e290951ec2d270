"""BoostLU (Kim et al., CVPR 2023): class activation maps whose positive part is raised."""

import torch
from torch import Tensor, nn


class BoostLUHead(nn.Module):
    """(B, C, h, w) to logits (B, K): class activation maps, positive values times alpha, averaged.

    Source: Kim et al., Bridging the Gap between Model Explanations in Partially Annotated
    Multi-label Classification (CVPR 2023), with alpha 5 and the losses of Large Loss Matters.
    """

    def __init__(self, channels: int, num_classes: int, alpha: float = 5.0):
        super().__init__()
        self.alpha = alpha
        self.fc = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.fc(features)
        return torch.where(maps > 0, self.alpha * maps, maps).mean((2, 3))
