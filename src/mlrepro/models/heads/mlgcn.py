"""ML-GCN (Chen et al., CVPR 2019): a graph convolution over the labels makes the classifier."""

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.models.heads.label_graph import (
    LEAK,
    GraphConvolution,
    normalize_adjacency,
    register_graph,
)
from mlrepro.models.heads.pooling import pool


class MLGCNHead(nn.Module):
    """(B, C, h, w) to logits (B, K): the max-pooled feature times class weights made from words.

    words: word vectors (K, d) in class order (data/graph.py)
    A: the correlation matrix (K, K) in class order
    hidden: width between the two graph convolutions

    The authors' files hold gc1, gc2 and A by these names, but not `inp`.
    """

    def __init__(
        self, channels: int, num_classes: int, words: np.ndarray, A: np.ndarray, hidden: int = 1024
    ):
        super().__init__()
        register_graph(self, words, A, num_classes)
        self.gc1 = GraphConvolution(self.inp.shape[1], hidden)
        self.gc2 = GraphConvolution(hidden, channels)

    def class_weights(self) -> Tensor:
        """(K, C)."""
        # No activation after the second convolution: these are weights, and may be negative.
        adjacency = normalize_adjacency(self.A)
        hidden = F.leaky_relu(self.gc1(self.inp, adjacency), LEAK)
        return self.gc2(hidden, adjacency)

    def forward(self, features: Tensor) -> Tensor:
        return pool(features, "max") @ self.class_weights().T
