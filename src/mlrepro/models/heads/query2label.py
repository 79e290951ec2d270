"""Query2Label (Liu et al., arXiv 2107.10834): label queries that attend to the feature map."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.errors import InputError

KEEP_SELF_ATTENTION = ("none", "other", "both")


def sine_positions(channels: int, height: int, width: int) -> Tensor:
    """The fixed position table (1, channels, height, width), which is DETR's.

    The first half of the channels comes from y, the second from x. Coordinates 1..H are scaled to
    (0, 2 pi]; even channels are sines, odd ones cosines.
    """
    half = channels // 2
    pair = torch.div(torch.arange(half, dtype=torch.float32), 2, rounding_mode="floor")
    period = 10000 ** (2 * pair / half)

    def along(size: int) -> Tensor:
        """(half, size): the table of one axis."""
        place = torch.arange(1, size + 1, dtype=torch.float32)
        coordinate = place / (size + 1e-6) * (2 * math.pi)  # with DETR's 1e-6, for the same bits
        angle = coordinate / period[:, None]
        table = angle.sin()
        table[1::2] = angle[1::2].cos()
        return table

    rows = along(height)[:, :, None].expand(half, height, width)
    columns = along(width)[:, None, :].expand(half, height, width)
    return torch.cat([rows, columns])[None]


class EncoderLayer(nn.Module):
    """Post-norm self-attention over tokens (B, N, D); positions are added to query and key only."""

    def __init__(self, dim: int, heads: int, ffn: int, dropout: float):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(dim, ffn)
        self.linear2 = nn.Linear(ffn, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, memory: Tensor, positions: Tensor) -> Tensor:
        key = memory + positions
        attended, _ = self.self_attn(key, key, memory, need_weights=False)
        memory = self.norm1(memory + self.dropout(attended))

        hidden = self.dropout(F.relu(self.linear1(memory)))
        return self.norm2(memory + self.dropout(self.linear2(hidden)))


class DecoderLayer(nn.Module):
    """Post-norm layer on the content (B, K, D).

    The label embeddings (K, D) enter as positions of the queries only. Self-attention is skipped
    where `self_attn` is None.
    """

    def __init__(self, dim: int, heads: int, ffn: int, dropout: float, self_attention: bool = True):
        super().__init__()
        self.self_attn = None
        if self_attention:
            self.self_attn = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.norm1 = nn.LayerNorm(dim)
        self.multihead_attn = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(dim, ffn)
        self.linear2 = nn.Linear(ffn, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, t: Tensor, labels: Tensor, key: Tensor, memory: Tensor) -> Tensor:
        if self.self_attn is not None:
            query = t + labels
            attended, _ = self.self_attn(query, query, t, need_weights=False)
            t = self.norm1(t + self.dropout(attended))
        return self.attend(t, t + labels, key, memory)

    def attend(self, t: Tensor, query: Tensor, key: Tensor, memory: Tensor) -> Tensor:
        """What follows the self-attention.

        t, query: (B, K, D); key, memory: (B, N, D). Gives (B, K, D).
        """
        attended, _ = self.multihead_attn(query, key, memory, need_weights=False)
        t = self.norm2(t + self.dropout(attended))

        hidden = self.dropout(F.relu(self.linear1(t)))
        return self.norm3(t + self.dropout(self.linear2(hidden)))


class Transformer(nn.Module):
    """tokens (B, N, D), positions (1, N, D), labels (K, D) to (B, K, D).

    self_attention: a flag a decoder layer.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        ffn: int,
        enc_layers: int,
        self_attention: list[bool],
        dropout: float,
    ):
        super().__init__()
        # One layer is copied, and self-attention removed only after the draw: so a seed gives the
        # authors' initial weights.
        encoder_layer = EncoderLayer(dim, heads, ffn, dropout)
        decoder_layer = DecoderLayer(dim, heads, ffn, dropout)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(copy.deepcopy(encoder_layer) for _ in range(enc_layers))
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList(copy.deepcopy(decoder_layer) for _ in self_attention)
        self.decoder.norm = nn.LayerNorm(dim)

        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

        for layer, kept in zip(self.decoder.layers, self_attention, strict=True):
            if not kept:
                layer.self_attn = None
                layer.norm1 = None

    def forward(self, memory: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
        for layer in self.encoder.layers:
            memory = layer(memory, positions)

        t = labels.new_zeros(len(memory), *labels.shape)
        # The content starts at 0: the first layer's queries are the label embeddings alone.
        key = memory + positions
        for layer in self.decoder.layers:
            t = layer(t, labels, key, memory)
        return self.decoder.norm(t)


class GroupWiseLinear(nn.Module):
    """One weight vector and bias a class: (B, K, D) to logits (B, K)."""

    def __init__(self, num_classes: int, dim: int):
        super().__init__()
        bound = dim**-0.5
        self.W = nn.Parameter(torch.empty(1, num_classes, dim).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(1, num_classes).uniform_(-bound, bound))

    def forward(self, t: Tensor) -> Tensor:
        return (self.W * t).sum(2) + self.b


class Query2LabelHead(nn.Module):
    """(B, C, h, w) to logits (B, K).

    map_size: (h, w), for which the position table is made
    hidden: width D of the transformer, a multiple of 4 (none: C)
    ffn: width of the feed-forward layers (none: D)
    keep_self_attention: "none" removes it from every decoder layer (the paper's COCO models),
        "other" keeps it in all but the first, "both" in all
    keep_input_proj: a 1x1 convolution C to D before the transformer; without one D is C

    Parameter names are the authors'; their table `backbone.1.pe` is a constant and no part of our
    state.
    """

    # The options of a run file are the constructor's arguments, as in every head.
    def __init__(  # noqa: PLR0913
        self,
        channels: int,
        num_classes: int,
        map_size: tuple[int, int],
        hidden: int | None = None,
        heads: int = 4,
        ffn: int | None = None,
        enc_layers: int = 1,
        dec_layers: int = 2,
        dropout: float = 0.1,
        keep_self_attention: str = "none",
        keep_input_proj: bool = False,
    ):
        super().__init__()
        hidden = hidden or channels
        if hidden != channels and not keep_input_proj:
            raise InputError(
                f"hidden: {hidden} is not the backbone's {channels} channels; "
                "set keep_input_proj: true"
            )
        if hidden % 4 or hidden % heads:
            raise InputError(f"hidden: {hidden} must be a multiple of 4 and of heads: {heads}")
        if keep_self_attention not in KEEP_SELF_ATTENTION:
            raise InputError(
                f"keep_self_attention: {keep_self_attention!r}; "
                f"valid: {', '.join(KEEP_SELF_ATTENTION)}"
            )

        # One flag a decoder layer: "other" keeps self-attention in all but the first.
        kept = [keep_self_attention != "none"] * dec_layers
        if keep_self_attention == "other" and dec_layers:
            kept[0] = False

        self.input_proj = nn.Conv2d(channels, hidden, 1) if keep_input_proj else nn.Identity()
        self.transformer = Transformer(hidden, heads, ffn or hidden, enc_layers, kept, dropout)
        self.query_embed = nn.Embedding(num_classes, hidden)
        self.fc = GroupWiseLinear(num_classes, hidden)
        self.register_buffer("positions", sine_positions(hidden, *map_size), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[2:] != self.positions.shape[2:]:
            raise InputError(
                f"map_size: the head was made for maps of {tuple(self.positions.shape[2:])}, "
                f"got {tuple(features.shape[2:])}; create it for the run's resolution"
            )
        # Maps (B, D, h, w) to tokens (B, h w, D), as the table.
        tokens = self.input_proj(features).flatten(2).transpose(1, 2)
        positions = self.positions.flatten(2).transpose(1, 2)
        return self.fc(self.transformer(tokens, positions, self.query_embed.weight))
