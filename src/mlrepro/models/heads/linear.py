"""The plain linear layer of the linear mode."""

from torch import nn


class LinearHead(nn.Linear):
    """Logits (B, K) from extracted feature vectors (B, C)."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__(channels, num_classes)
