"""Where a Query2Label network looks: the cross-attention of its labels."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mlrepro.models.classifier import Classifier


@torch.no_grad()
def cross_attention(model: Classifier, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, K) of the plain forward pass, and where each label looked (B, K, h, w).

    The maps are the cross-attention of the last decoder layer: mean over the heads, of sum 1 over
    the map. `model` is put into evaluation mode, as dropout acts on these weights too.
    """
    model.eval()
    layer = model.head.transformer.decoder.layers[-1].multihead_attn

    # The forward pass asks for no weights, so the layer's inputs are kept and it is run once more.
    inputs: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: inputs.extend(arguments))
    try:
        logits = model(pictures)
    finally:
        handle.remove()

    # (B, K, h w), already the mean over the heads.
    _, weights = layer(*inputs, need_weights=True)
    map_size = model.head.positions.shape[2:]
    return logits.float(), weights.float().unflatten(2, map_size)


def attention_of_pictures(
    model: Classifier, inputs, pictures: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Row, logits (K,) and maps (K, h, w) of the first pictures that PictureInputs read."""
    for batch, rows in inputs.sequential(np.arange(pictures)):
        logits, maps = cross_attention(model, batch)
        for i, row in enumerate(rows):
            yield int(row), logits[i].cpu().numpy(), maps[i].cpu().numpy()
