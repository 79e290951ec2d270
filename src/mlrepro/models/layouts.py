"""The authors' checkpoints: from their key names to those of our backbones and heads.

Each official model is one flat dictionary; `split_authors_state` takes it apart. TResNet and Swin
come from repositories of their own, so their layers have names and orders that timm's have not:
`official_to_timm` converts them. ResNet, ViT and CvT only lose a prefix.
"""

import re

import torch
from torch import Tensor

from mlrepro.errors import InputError

# Query2Label's constant table of positions: it stands in its files, but is no part of our state.
POSITIONS = "backbone.1.pe"

# What the head's keys begin with in the official files, and in ours inside the head.
HEAD_PREFIXES = {
    # Query2Label
    "transformer.": "transformer.",
    "query_embed.": "query_embed.",
    "input_proj.": "input_proj.",
    "fc.": "fc.",
    # ML-GCN
    "gc1.": "gc1.",
    "gc2.": "gc2.",
    # ML-Decoder
    "head.decoder.": "",
    # ASL
    "head.fc.": "fc.",
    # CSRA
    "classifier.multi_head.": "multi_head.",
    # Cole et al., single positive
    "linear_classifier.": "fc.",
}
ADJACENCY = "A"  # ML-GCN's, which has no prefix

# Query2Label with ResNet or TResNet, Query2Label with others, ML-GCN, Cole et al.
BACKBONE_PREFIXES = ("backbone.0.body.", "backbone.0.", "features.", "feature_extractor.")
# The last two wrap a torchvision ResNet in a Sequential, which numbers its children.
NUMBERING_PREFIXES = ("features.", "feature_extractor.")
RESNET_CHILDREN = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}


def split_authors_state(
    state: dict[str, Tensor], where: object = "checkpoint"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """An official state dict as (backbone, head) of ours.

    Known are Query2Label, ML-Decoder, ASL, CSRA, ML-GCN and Cole et al. Both parts load strictly,
    with two exceptions: ML-GCN's head has no node features (give the head's own `inp`), and the
    constant position table of Query2Label is dropped. `where` names the file in the InputError for
    keys that fit none of them.
    """
    backbone: dict[str, Tensor] = {}
    head: dict[str, Tensor] = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if key == POSITIONS:
            continue

        head_key = _head_key(key)
        if head_key is None:
            backbone[_backbone_key(key)] = value
        else:
            head[head_key] = value

    # Plain ImageNet weights have no head of ours, and a foreign file has neither.
    if not backbone or not head:
        raise InputError(
            f"{where}: its keys fit no known model (Query2Label, ML-Decoder, ASL, CSRA, ML-GCN, "
            f"Cole et al.); first: {', '.join(list(state)[:3])}"
        )

    if "multi_head.0.head.weight" in head:
        head = from_authors_csra(head)
    return official_to_timm(backbone), head


def _head_key(key: str) -> str | None:
    """Our key inside the head, or None for a key of the backbone."""
    if key == ADJACENCY:
        return key
    for official, ours in HEAD_PREFIXES.items():
        if key.startswith(official):
            return ours + key.removeprefix(official)
    return None


def _backbone_key(key: str) -> str:
    """The key inside the backbone, without what the authors wrap it in."""
    for prefix in BACKBONE_PREFIXES:
        if not key.startswith(prefix):
            continue

        inner = key.removeprefix(prefix)
        # Children that are not in the table (none of a ResNet with weights) keep their numbers.
        if prefix in NUMBERING_PREFIXES:
            child, dot, rest = inner.partition(".")
            return RESNET_CHILDREN.get(child, child) + dot + rest
        return inner
    return key


def from_authors_csra(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """CSRA's `multi_head.<i>.head.weight` (K, C, 1, 1), one a head, as the weight of `CSRAHead`."""
    heads = [state[f"multi_head.{i}.head.weight"] for i in range(len(state))]
    return {"weight": torch.stack(heads).flatten(2)}


def official_to_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A backbone's state in its authors' layout in timm's.

    One that is in timm's already, or of another network, is returned as it is.
    """
    if "body.conv1.0.weight" in state:
        return official_to_timm_tresnet(state)
    if "layers.0.downsample.norm.weight" in state:
        return official_to_timm_swin(state)
    return state


def official_to_timm_tresnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """TResNet (v1 and v2) of its authors to timm's `tresnet_*`. Keys start with `body.`.

    InPlaceABN scales by |weight| + 1e-5 where batch norm scales by the weight, so the weights are
    converted. `num_batches_tracked` is there or not, depending on the library's version; torch
    accepts both in a plain dictionary.
    """
    from timm.models import tresnet

    return tresnet.checkpoint_filter_fn(state, None)


def official_to_timm_swin(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Swin of its authors to timm's `swin_*`.

    timm puts a down-sampling before a stage, the authors after one. Two constants that timm
    computes itself are dropped: `attn_mask`, and `relative_position_index` after a check.
    """

    def one_stage_later(number: re.Match) -> str:
        return str(int(number[0]) + 1)

    converted = {}
    for key, value in state.items():
        if key.endswith("relative_position_index"):
            _check_relative_positions(key, value)
        elif not key.endswith("attn_mask"):
            key = re.sub(r"(?<=layers\.)\d+(?=\.downsample)", one_stage_later, key)
            converted[key] = value
    return converted


def _check_relative_positions(key: str, index: Tensor) -> None:
    """Raises InputError for another index (N, N) than Swin's of a square window of N tokens."""
    from timm.models.swin_transformer import get_relative_position_index

    side = round(len(index) ** 0.5)
    expected = get_relative_position_index(side, side)
    if index.shape != expected.shape or not torch.equal(index.to(expected), expected):
        raise InputError(
            f"checkpoint: {key} is not Swin's index of relative positions; give a Swin v1 file"
        )
