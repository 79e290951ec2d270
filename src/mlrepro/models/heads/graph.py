"""Label-graph heads: ML-GCN (Chen et al., CVPR 2019) and the AAM paper's graph re-weighting of the channels."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.errors import InputError
from mlrepro.models.heads.ml_decoder import MLDecoderHead
from mlrepro.models.heads.pooling import POOLINGS, classifier, pool


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


class GraphAttention(nn.Module):
    """Nodes (K, in) to (K, out): one attention head over the edges of the graph (Velickovic et al., ICLR 2018)."""

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.1):
        super().__init__()
        self.W = nn.Parameter(
            nn.init.xavier_uniform_(torch.empty(in_features, out_features), gain=1.414)
        )
        self.a = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2 * out_features, 1), gain=1.414))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        hidden = nodes @ self.W
        source, target = self.a.chunk(2)
        scores = F.leaky_relu(hidden @ source + (hidden @ target).T, 0.2)
        # Finite and not -inf: a node without edges then attends to all nodes alike instead of giving nan.
        scores = scores.masked_fill(adjacency <= 0, torch.finfo(scores.dtype).min)
        attention = torch.softmax(scores, dim=1)
        return F.elu(self.dropout(attention) @ hidden)


LAYERS = {"gcn": GraphConvolution, "gat": GraphAttention}


def _register_graph(module: nn.Module, words: np.ndarray, A: np.ndarray, num_classes: int) -> None:
    """Registers the constants of a label graph, `inp` (K, d) and `A` (K, K), in the order of the classes."""
    words, A = np.asarray(words, np.float32), np.asarray(A, np.float32)
    if len(words) != num_classes or A.shape != (num_classes, num_classes):
        raise InputError(
            f"label graph: {num_classes} classes need one word vector a class and a square adjacency, "
            f"got {words.shape} and {A.shape}; make them from the data set's classes.json"
        )
    if (A.sum(1) <= 0).any():
        raise InputError(
            "label graph: the adjacency has an empty row; use p > 0, which adds self-loops"
        )
    module.register_buffer("inp", torch.tensor(words))
    module.register_buffer("A", torch.tensor(A))


class MLGCNHead(nn.Module):
    """(B, C, h, w) to logits (B, K): the max-pooled feature times class weights that a GCN makes from word vectors.

    words: vectors (K, d), A: the correlation matrix (K, K), both in class order (data/graph.py). The authors' files hold gc1,
    gc2 and A by these names, but not `inp`.
    """

    def __init__(
        self, channels: int, num_classes: int, words: np.ndarray, A: np.ndarray, hidden: int = 1024
    ):
        super().__init__()
        _register_graph(self, words, A, num_classes)
        self.gc1 = GraphConvolution(self.inp.shape[1], hidden)
        self.gc2 = GraphConvolution(hidden, channels)

    def class_weights(self) -> Tensor:
        """(K, C)."""
        adjacency = normalize_adjacency(self.A)
        return self.gc2(F.leaky_relu(self.gc1(self.inp, adjacency), 0.2), adjacency)

    def forward(self, features: Tensor) -> Tensor:
        return pool(features, "max") @ self.class_weights().T


class GraphReweightingHead(nn.Module):
    """(B, C, h, w) to logits (B, K): gates from the label graph multiply the map's channels, then pooling (AAM paper).

    layer: "gat" is what the paper describes, "gcn" what its published configurations run. pooling: avg, max, avg+max, or
    ml_decoder, which reads the gated map instead of a pooled vector (GAN + MLD of Tables 6, 8 and 9; never released), with
    `embedding` and `ffn` as in `MLDecoderHead`.
    words (K, d) and A (K, K) as in `MLGCNHead`. Parameter names are the authors'.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        words: np.ndarray,
        A: np.ndarray,
        layer: str = "gat",
        pooling: str = "avg",
        angular: bool = False,
        embedding: int = 768,
        ffn: int = 2048,
    ):
        super().__init__()
        for name, value, valid in (
            ("layer", layer, LAYERS),
            ("pooling", pooling, (*POOLINGS, "ml_decoder")),
        ):
            if value not in valid:
                raise InputError(f"{name}: {value!r} is not known; valid: {', '.join(valid)}")
        _register_graph(self, words, A, num_classes)
        self.gc1 = LAYERS[layer](self.inp.shape[1], channels)
        self.gc2 = LAYERS[layer](channels, channels)
        if pooling == "ml_decoder":
            self.head = MLDecoderHead(
                channels, num_classes, embedding=embedding, ffn=ffn, angular=angular
            )
        else:
            self.head = classifier(channels, num_classes, angular)
        self.pooling = pooling
        self.register_buffer("fixed_gates", None, persistent=False)

    def gates(self) -> Tensor:
        """One factor in (0, 1) a channel: (C,)."""
        adjacency = normalize_adjacency(self.A)
        nodes = F.leaky_relu(self.gc1(self.inp, adjacency), 0.2)
        nodes = F.leaky_relu(self.gc2(nodes, adjacency), 0.2)
        return nodes.amax(0).sigmoid()

    @torch.no_grad()
    def precompute(self) -> None:
        """Fixes the gates, which do not depend on the image, for inference; `train()` and `eval()` free them."""
        self.fixed_gates = self.gates()

    def train(self, mode: bool = True):
        self.fixed_gates = None
        return super().train(mode)

    def forward(self, features: Tensor) -> Tensor:
        gates = self.gates() if self.fixed_gates is None else self.fixed_gates
        gated = features * gates[:, None, None]
        return self.head(gated if self.pooling == "ml_decoder" else pool(gated, self.pooling))
