"""Where a Query2Label network looks for each label."""

import torch
from torch import Tensor

from mlrepro.models.classifier import Classifier


@torch.no_grad()
def cross_attention(model: Classifier, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, K) of the plain forward pass, and of the last decoder layer the cross-attention of each label (B, K, h, w):
    mean over the heads, of sum 1 over the map. `model` is put into eval mode, as dropout acts on these weights too."""
    layer, inputs = model.eval().head.transformer.decoder.layers[-1].multihead_attn, []
    handle = layer.register_forward_pre_hook(lambda _, arguments: inputs.extend(arguments))
    try:
        logits = model(pictures)
    finally:
        handle.remove()
    weights = layer(*inputs, need_weights=True)[1]
    return logits.float(), weights.float().unflatten(2, model.head.positions.shape[2:])
