"""Cross-attention maps of Query2Label, on a small network with random weights."""

import torch
from torch import Tensor

from mlrepro.models.attention import cross_attention
from mlrepro.models.backbones import Backbone
from mlrepro.models.classifier import Classifier
from mlrepro.models.heads import create_head

HEADS = 4


def by_hand(model: Classifier, pictures: Tensor) -> Tensor:
    """The last decoder layer's attention, mean over the heads, from the weights alone.

    softmax(Q K^T / sqrt(d)).
    """
    head = model.head
    positions = head.positions.flatten(2).transpose(1, 2)
    labels = head.query_embed.weight

    memory = model.backbone(pictures).flatten(2).transpose(1, 2)
    for layer in head.transformer.encoder.layers:
        memory = layer(memory, positions)
    key = memory + positions
    first, last = head.transformer.decoder.layers
    t = first(torch.zeros(len(pictures), *labels.shape), labels, key, memory)

    def project(x: Tensor, part: int) -> Tensor:
        """To (B, heads, tokens, d), with the weights of queries (0) or keys (1)."""
        weight = last.multihead_attn.in_proj_weight.chunk(3)[part]
        bias = last.multihead_attn.in_proj_bias.chunk(3)[part]
        return (x @ weight.T + bias).unflatten(2, (HEADS, -1)).transpose(1, 2)

    q = project(t + labels, 0)
    k = project(key, 1)
    products = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
    return products.softmax(3).mean(1)


def test_maps_are_the_attention_weights_and_leave_the_logits_alone():
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", 96)
    head = create_head("query2label", backbone.channels, 5, (3, 3), heads=HEADS, ffn=16)
    model = Classifier(backbone, head)
    pictures = torch.randn(2, 3, 96, 96)

    logits, maps = cross_attention(model.train(), pictures)  # dropout would change the weights
    with torch.inference_mode():
        assert torch.equal(logits, model(pictures))
        torch.testing.assert_close(maps.flatten(2), by_hand(model, pictures))
    assert maps.shape == (2, 5, 3, 3)
    assert maps.std() > 1e-4  # so that an even map would not pass
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 5))
    assert not model.head.transformer.decoder.layers[-1].multihead_attn._forward_pre_hooks
