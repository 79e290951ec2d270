"""ML-Decoder (Ridnik et al., WACV 2023), and the angular form of it that the AAM paper uses."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.errors import InputError
from mlrepro.models.heads.query2label import DecoderLayer


class QueryLayer(DecoderLayer):
    """Query2Label's layer without self-attention and positions.

    queries (B, G, D), memory (B, N, D) to (B, G, D).
    """

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        # What is left of the removed self-attention is its residual: the query is added to itself.
        t = self.norm1(queries + self.dropout(queries))
        return self.attend(t, t, memory, memory)


class MLDecoderHead(nn.Module):
    """(B, C, h, w) to logits (B, K): G fixed random queries, each decoded into ceil(K / G) classes.

    groups: G, at most K; none means min(100, K)
    embedding: D, the width of the queries; ffn: of the feed-forward layer
    angular: both sides of the group projection are L2-normalised, and the input activation is
        LeakyReLU(0.2). The learnable bias is still added, so the logits are cosines plus a bias
        (AAM's code; the paper says cosines)

    The word queries of zero-shot learning are left out. Parameter names are the authors' without
    their prefix `decoder.`.
    """

    # The options of a run file are the constructor's arguments, as in every head.
    def __init__(  # noqa: PLR0913
        self,
        channels: int,
        num_classes: int,
        groups: int | None = None,
        embedding: int = 768,
        ffn: int = 2048,
        heads: int = 8,
        dropout: float = 0.1,
        angular: bool = False,
    ):
        super().__init__()
        if groups is None:
            groups = min(100, num_classes)
        if not 1 <= groups <= num_classes:
            raise InputError(
                f"groups: {groups} is not between 1 and the number of classes, {num_classes}"
            )
        if embedding % heads:
            raise InputError(f"heads: {heads} does not divide the embedding of {embedding}")

        self.num_classes = num_classes
        self.angular = angular
        self.embed_standart = nn.Linear(channels, embedding)
        self.query_embed = nn.Embedding(groups, embedding).requires_grad_(False)
        self.layers = nn.ModuleList(
            [QueryLayer(embedding, heads, ffn, dropout, self_attention=False)]
        )

        classes_per_group = -(-num_classes // groups)  # rounded up
        projection = torch.empty(groups, embedding, classes_per_group)
        self.duplicate_pooling = nn.Parameter(nn.init.xavier_normal_(projection))
        self.duplicate_pooling_bias = nn.Parameter(torch.zeros(num_classes))

    def decode(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to the decoded queries (B, G, D)."""
        memory = self.embed_standart(features.flatten(2).transpose(1, 2))
        memory = F.leaky_relu(memory, 0.2) if self.angular else F.relu(memory)

        queries = self.query_embed.weight.expand(len(features), -1, -1)
        for layer in self.layers:
            queries = layer(queries, memory)
        return queries

    def forward(self, features: Tensor) -> Tensor:
        decoded = self.decode(features)
        projection = self.duplicate_pooling
        if self.angular:
            decoded = F.normalize(decoded, dim=2)
            projection = F.normalize(projection, dim=1)

        # Class c belongs to query c // r, column c % r; what the last group has too much is cut.
        by_group = torch.einsum("bgd,gdr->bgr", decoded, projection)
        logits = by_group.flatten(1)[:, : self.num_classes]
        return logits + self.duplicate_pooling_bias
