"""CvT-w24 (Wu et al., ICCV 2021), the backbone of Query2Label's best model; timm has none.

Parameter names are the authors'. Layers that timm has, too, are timm's.
"""

from collections import OrderedDict

import torch
from timm.layers import DropPath, LayerNorm2d, Mlp, QuickGELU
from torch import Tensor, nn
from torch.nn import functional as F


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """(B, h w, C) to (B, C, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) to (B, h w, C)."""
    return x.flatten(2).transpose(1, 2)


def conv_embed(in_channels: int, dim: int, kernel: int, stride: int, padding: int) -> nn.Sequential:
    """Overlapping patches: strided convolution, then LayerNorm over the channels."""
    proj = nn.Conv2d(in_channels, dim, kernel, stride, padding)
    return nn.Sequential(OrderedDict(proj=proj, norm=LayerNorm2d(dim, eps=1e-5)))


def conv_projection(dim: int, stride: int) -> nn.Sequential:
    """Depth-wise 3x3 convolution and batch norm.

    The map of the query has stride 1, those of key and value stride 2.
    """
    conv = nn.Conv2d(dim, dim, 3, stride, padding=1, groups=dim, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(dim)))


class Attention(nn.Module):
    """Self-attention over tokens (B, [1 +] h w, D) whose queries, keys and values are convolved."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        # Of the whole width and not of one head: the authors' choice.
        self.scale = dim**-0.5
        self.conv_proj_q = conv_projection(dim, stride=1)
        self.conv_proj_k = conv_projection(dim, stride=2)
        self.conv_proj_v = conv_projection(dim, stride=2)
        self.proj_q = nn.Linear(dim, dim)
        self.proj_k = nn.Linear(dim, dim)
        self.proj_v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        # The class token, where there is one, has no place on the map and skips the convolutions.
        on_map = height * width
        cls, spatial = tokens.split([tokens.shape[1] - on_map, on_map], 1)
        x = to_map(spatial, height, width)

        def project(conv: nn.Module, linear: nn.Module) -> Tensor:
            """To (B, heads, tokens, D / heads)."""
            convolved = torch.cat([cls, to_tokens(conv(x))], 1)
            return linear(convolved).unflatten(2, (self.heads, -1)).transpose(1, 2)

        # Keys and values are a quarter of the queries: their convolutions have stride 2.
        query = project(self.conv_proj_q, self.proj_q)
        key = project(self.conv_proj_k, self.proj_k)
        value = project(self.conv_proj_v, self.proj_v)
        out = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm attention and feed-forward layer, each beside its residual."""

    def __init__(self, dim: int, heads: int, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim, act_layer=QuickGELU)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class Stage(nn.Module):
    """(B, C, h, w) to (B, dim, h', w').

    The class token, where there is one, lives inside the stage only. drop_path: stochastic depth at
    the last block, from 0 at the first.
    """

    def __init__(
        self, embed: nn.Sequential, depth: int, heads: int, cls_token: bool, drop_path: float
    ):
        super().__init__()
        dim = embed.proj.out_channels
        self.patch_embed = embed
        self.cls_token = None
        if cls_token:
            drawn = nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02)
            self.cls_token = nn.Parameter(drawn)

        # On the CPU also where the model is built on the meta device, which has no numbers.
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(dim, heads, rate) for rate in rates)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        height, width = x.shape[2:]
        tokens = to_tokens(x)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1)

        for block in self.blocks:
            tokens = block(tokens, height, width)
        return to_map(tokens[:, -height * width :], height, width)


class CvTW24(nn.Module):
    """Images (B, 3, H, W) to maps (B, 1024, H / 16, W / 16): CvT-w24, 276 M parameters.

    The class token of the last stage takes part in its attention and is then dropped; the final
    LayerNorm is applied to the spatial tokens, as Query2Label does. drop_path: stochastic depth at
    the last block of the last stage.
    """

    num_features = 1024

    def __init__(self, drop_path: float = 0.3):
        super().__init__()
        self.stage0 = Stage(
            conv_embed(3, 192, 7, 4, 2), depth=2, heads=3, cls_token=False, drop_path=0.0
        )
        self.stage1 = Stage(
            conv_embed(192, 768, 3, 2, 1), depth=2, heads=12, cls_token=False, drop_path=0.0
        )
        self.stage2 = Stage(
            conv_embed(768, 1024, 3, 2, 1), depth=20, heads=16, cls_token=True, drop_path=drop_path
        )
        self.norm = LayerNorm2d(1024, eps=1e-5)

        # Linear layers alone are drawn anew; the others start as torch has them.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.stage2(self.stage1(self.stage0(images))))
