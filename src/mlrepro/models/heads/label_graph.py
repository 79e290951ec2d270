"""What heads on a label graph share: its constants, normalised adjacency, a graph convolution."""

import numpy as np
import torch
from torch import Tensor, nn

from mlrepro.errors import InputError

LEAK = 0.2  # slope of the leaky ReLUs between graph layers, in ML-GCN's code and in GAT's


def register_graph(module: nn.Module, words: np.ndarray, A: np.ndarray, num_classes: int) -> None:
    """Registers the constants of a label graph in a module, in the order of the classes.

    words: (K, d) a vector a class, as buffer `inp`
    A: (K, K) the correlation matrix, as buffer `A`

    Raises InputError for other numbers of classes, and for a row without an edge, which cannot be
    normalised.
    """
    words = np.asarray(words, np.float32)
    A = np.asarray(A, np.float32)

    if len(words) != num_classes or A.shape != (num_classes, num_classes):
        raise InputError(
            f"label graph: {num_classes} classes need one word vector a class and a square "
            f"adjacency, got {words.shape} and {A.shape}; "
            "make them from the data set's classes.json"
        )
    if (A.sum(1) <= 0).any():
        raise InputError(
            "label graph: the adjacency has an empty row; use p > 0, which adds self-loops"
        )

    module.register_buffer("inp", torch.tensor(words))
    module.register_buffer("A", torch.tensor(A))


def normalize_adjacency(A: Tensor) -> Tensor:
    """(A D^-1/2)^T D^-1/2 with D the row sums of A (K, K): ML-GCN's gen_adj."""
    scale = A.sum(1).rsqrt()
    return (A * scale).T * scale


class GraphConvolution(nn.Module):
    """Nodes (K, in) to (K, out): adj (X W), without bias (Kipf and Welling)."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        bound = out_features**-0.5
        self.weight = nn.Parameter(torch.empty(in_features, out_features).uniform_(-bound, bound))

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ (nodes @ self.weight)
