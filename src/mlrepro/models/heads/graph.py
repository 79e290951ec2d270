"""The graph re-weighting of Prokofiev and Sovrasov (2022): channel gates from the label graph."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.errors import InputError
from mlrepro.models.heads.label_graph import (
    LEAK,
    GraphConvolution,
    normalize_adjacency,
    register_graph,
)
from mlrepro.models.heads.ml_decoder import MLDecoderHead
from mlrepro.models.heads.pooling import POOLINGS, classifier, pool


class GraphAttention(nn.Module):
    """Nodes (K, in) to (K, out): one attention head over the edges of the graph.

    Source: Velickovic et al., ICLR 2018.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.1):
        super().__init__()
        W = torch.empty(in_features, out_features)
        a = torch.empty(2 * out_features, 1)
        # 1.414 and not the square root of 2, as the usual code of the paper has it.
        self.W = nn.Parameter(nn.init.xavier_uniform_(W, gain=1.414))
        self.a = nn.Parameter(nn.init.xavier_uniform_(a, gain=1.414))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        hidden = nodes @ self.W
        # a^T [h_i, h_j] as the sum of a part of the source and one of the target: (K, 1) + (1, K).
        source, target = self.a.chunk(2)
        scores = F.leaky_relu(hidden @ source + (hidden @ target).T, LEAK)

        # Finite and not -inf: a node without edges then attends to all nodes alike, not to nan.
        scores = scores.masked_fill(adjacency <= 0, torch.finfo(scores.dtype).min)
        attention = torch.softmax(scores, dim=1)
        return F.elu(self.dropout(attention) @ hidden)


LAYERS = {"gcn": GraphConvolution, "gat": GraphAttention}


def _check_name(option: str, value: str, valid: list[str]) -> None:
    if value not in valid:
        raise InputError(f"{option}: {value!r} is not known; valid: {', '.join(valid)}")


class GraphReweightingHead(nn.Module):
    """(B, C, h, w) to logits (B, K): gates from the label graph times the map's channels, pooling.

    words, A: (K, d) and (K, K) as in `MLGCNHead`
    layer: "gat" is what the AAM paper describes, "gcn" what its published configurations run
    pooling: avg, max, avg+max, or ml_decoder, which reads the gated map instead of a pooled vector
        (GAN + MLD of the paper's Tables 6, 8 and 9; never released)
    angular: cosines instead of a linear layer, for the angular margin loss
    embedding, ffn: as in `MLDecoderHead`, with pooling ml_decoder only

    Parameter names are the authors'.
    """

    # The options of a run file are the constructor's arguments, as in every head.
    def __init__(  # noqa: PLR0913
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
        _check_name("layer", layer, list(LAYERS))
        _check_name("pooling", pooling, [*POOLINGS, "ml_decoder"])

        register_graph(self, words, A, num_classes)
        self.gc1 = LAYERS[layer](self.inp.shape[1], channels)
        self.gc2 = LAYERS[layer](channels, channels)

        if pooling == "ml_decoder":
            self.head = MLDecoderHead(
                channels, num_classes, embedding=embedding, ffn=ffn, angular=angular
            )
        else:
            self.head = classifier(channels, num_classes, angular)
        self.pooling = pooling
        # Not persistent: a file of weights holds the graph layers, and not what follows from them.
        self.register_buffer("fixed_gates", None, persistent=False)

    def gates(self) -> Tensor:
        """One factor in (0, 1) a channel: (C,)."""
        adjacency = normalize_adjacency(self.A)
        nodes = F.leaky_relu(self.gc1(self.inp, adjacency), LEAK)
        nodes = F.leaky_relu(self.gc2(nodes, adjacency), LEAK)
        # The strongest class decides of each channel.
        return nodes.amax(0).sigmoid()

    @torch.no_grad()
    def precompute(self) -> None:
        """Fixes the gates, which no picture changes; `train()` and `eval()` free them."""
        self.fixed_gates = self.gates()

    def train(self, mode: bool = True):
        self.fixed_gates = None
        return super().train(mode)

    def forward(self, features: Tensor) -> Tensor:
        gates = self.gates() if self.fixed_gates is None else self.fixed_gates
        gated = features * gates[:, None, None]
        if self.pooling == "ml_decoder":
            return self.head(gated)
        return self.head(pool(gated, self.pooling))
