"""The two-layer classifier of the MIRFLICKR study."""

from torch import Tensor, nn

from mlrepro.models.heads.pooling import pool


class MlpHead(nn.Module):
    """(B, C, h, w) to logits (B, K): average pooling, a hidden layer as wide as C, a linear one.

    Vectors (B, C) are taken as pooled already.
    What the MIRFLICKR study adds to pretrained networks. Its Figure 6 is a drawing: the order
    inside is our reading. `batch_norm` and `dropout` are its ablations.
    """

    def __init__(
        self, channels: int, num_classes: int, batch_norm: bool = True, dropout: float = 0.5
    ):
        super().__init__()
        # Batch norm has a bias of its own.
        widen = nn.Linear(channels, channels, bias=not batch_norm)
        norm = nn.BatchNorm1d(channels) if batch_norm else nn.Identity()
        self.hidden = nn.Sequential(widen, norm, nn.ReLU(), nn.Dropout(dropout))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        pooled = pool(features, "avg") if features.ndim == 4 else features
        return self.fc(self.hidden(pooled))
