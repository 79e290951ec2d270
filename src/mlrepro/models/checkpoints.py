"""The authors' checkpoints: their key names to those of our backbones (timm, cvt.py) and heads.

Each official model is one flat dictionary; `split_authors_state` takes it apart. TResNet and Swin come from
repositories of their own, so they need `official_to_timm_*`; ResNet, ViT and CvT only lose a prefix.
"""

import re

import torch
from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.models.heads.csra import from_authors_csra

# Official prefix -> our prefix inside the head. The first that fits wins.
HEAD_PREFIXES = {
    "transformer.": "transformer.",  # Query2Label
    "query_embed.": "query_embed.",
    "input_proj.": "input_proj.",
    "head.decoder.": "",  # ML-Decoder
    "head.fc.": "fc.",  # ASL
    "classifier.multi_head.": "multi_head.",  # CSRA
    "gc1.": "gc1.",  # ML-GCN
    "gc2.": "gc2.",
    "linear_classifier.": "fc.",  # Cole et al., single positive
    "fc.": "fc.",  # Query2Label's group-wise layer
}
BACKBONE_PREFIXES = ("backbone.0.body.", "backbone.0.", "features.", "feature_extractor.")
# ML-GCN and Cole et al. wrap a torchvision ResNet in a Sequential, which numbers its children.
RESNET_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def split_authors_state(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """An official state dict of Query2Label, ML-Decoder, ASL, CSRA, ML-GCN or Cole et al. as (backbone, head) of ours.

    Both load strictly, with two exceptions: ML-GCN's head has no node features (give the head's own `inp`), and the
    constant position table of Query2Label is dropped.
    """
    backbone, head = {}, {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if key == "backbone.1.pe":
            continue
        prefix = next((p for p in HEAD_PREFIXES if key.startswith(p)), None)
        if prefix or key == "A":
            head[HEAD_PREFIXES.get(prefix, "") + key.removeprefix(prefix or "")] = value
            continue
        wrapper = next((p for p in BACKBONE_PREFIXES if key.startswith(p)), "")
        inner = key.removeprefix(wrapper)
        child, dot, rest = inner.partition(".")
        backbone[RESNET_CHILDREN.get(child, child) + dot + rest if wrapper.startswith("feature") else inner] = value
    if not backbone or not head:
        raise InputError("checkpoint: its keys fit no known model (Query2Label, ML-Decoder, ASL, CSRA, ML-GCN, "
                         f"Cole et al.); first: {', '.join(list(state)[:3])}")
    if "body.conv1.0.weight" in backbone:
        backbone = official_to_timm_tresnet(backbone)
    if any(key.endswith("relative_position_bias_table") for key in backbone):
        backbone = official_to_timm_swin(backbone)
    return backbone, from_authors_csra(head) if "multi_head.0.head.weight" in head else head


def official_to_timm_tresnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """TResNet (v1 and v2) of its authors to timm's `tresnet_*`. Keys start with `body.`.

    InPlaceABN scales by |weight| + 1e-5 where batch norm scales by the weight, so the weights are converted.
    `num_batches_tracked` is there or not, depending on the library's version; torch accepts both in a plain dictionary.
    """
    converted = {}
    for key, value in state.items():
        # conv1.0.weight, or conv1.0.0.weight where a blur follows; the second index is 0 for conv and 1 for norm.
        match = re.fullmatch(r"(.*\.(?:conv\d|downsample\.\d))(?:\.0)?\.([01])\.(\w+)", key)
        if match:
            block, index, leaf = match.groups()
            if index == "1" and leaf == "weight":
                value = value.abs() + 1e-5
            key = f"{block}.{'bn' if index == '1' else 'conv'}.{leaf}"
        converted[key] = value
    return converted


def official_to_timm_swin(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Swin of its authors to timm's `swin_*`: timm puts a down-sampling before a stage, the authors after one.

    Two constants that timm computes itself are dropped: `attn_mask`, and `relative_position_index` after a check.
    """
    converted = {}
    for key, value in state.items():
        if key.endswith("relative_position_index"):
            expected = _relative_position_index(round(len(value) ** 0.5))
            if value.shape != expected.shape or not torch.equal(value.to(expected), expected):
                raise InputError(f"checkpoint: {key} is not Swin's index of relative positions; give a Swin v1 file")
        elif not key.endswith("attn_mask"):
            key = re.sub(r"(?<=layers\.)\d+(?=\.downsample)", lambda match: str(int(match[0]) + 1), key)
            converted[key] = value
    return converted


def _relative_position_index(window: int) -> Tensor:
    """(w^2, w^2): the row of the bias table for query and key position, dy + w - 1 major and dx + w - 1 minor."""
    y, x = torch.arange(window).repeat_interleave(window), torch.arange(window).repeat(window)
    dy, dx = y[:, None] - y + window - 1, x[:, None] - x + window - 1
    return dy * (2 * window - 1) + dx
