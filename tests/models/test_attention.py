"""Cross-attention maps of Query2Label, on a small network with random weights."""

import torch

from mlrepro.models.attention import cross_attention
from mlrepro.models.backbones import Backbone
from mlrepro.models.classifier import Classifier
from mlrepro.models.heads import create_head

HEADS = 4


def by_hand(model: Classifier, pictures: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) of the last decoder layer, mean over the heads, from the weights alone."""
    head = model.head
    positions, labels = head.positions.flatten(2).transpose(1, 2), head.query_embed.weight
    memory = model.backbone(pictures).flatten(2).transpose(1, 2)
    for layer in head.transformer.encoder.layers:
        memory = layer(memory, positions)
    t, key = torch.zeros(len(pictures), *labels.shape), memory + positions
    first, last = head.transformer.decoder.layers
    t = first(t, labels, key, memory)
    wq, wk, _ = last.multihead_attn.in_proj_weight.chunk(3)
    bq, bk, _ = last.multihead_attn.in_proj_bias.chunk(3)
    q, k = (
        (x @ w.T + b).unflatten(2, (HEADS, -1)).transpose(1, 2)
        for x, w, b in ((t + labels, wq, bq), (key, wk, bk))
    )
    return (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(3).mean(1)


def test_maps_are_the_attention_weights_and_leave_the_logits_alone():
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", 96)
    model = Classifier(
        backbone, create_head("query2label", backbone.channels, 5, (3, 3), heads=HEADS, ffn=16)
    )
    pictures = torch.randn(2, 3, 96, 96)
    logits, maps = cross_attention(model.train(), pictures)  # dropout would change the weights
    with torch.inference_mode():
        assert torch.equal(logits, model(pictures))
        torch.testing.assert_close(maps.flatten(2), by_hand(model, pictures))
    assert maps.shape == (2, 5, 3, 3) and maps.std() > 1e-4
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 5))
    assert not model.head.transformer.decoder.layers[-1].multihead_attn._forward_pre_hooks
