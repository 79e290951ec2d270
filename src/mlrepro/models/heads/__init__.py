"""Classification heads: a feature map (B, C, h, w) in, logits (B, K) out. `linear` alone takes vectors (B, C)."""

from functools import partial

from torch import nn

from mlrepro.errors import InputError
from mlrepro.models.heads.csra import CSRAHead
from mlrepro.models.heads.graph import GraphReweightingHead, MLGCNHead
from mlrepro.models.heads.ml_decoder import MLDecoderHead
from mlrepro.models.heads.pooling import BoostLUHead, LinearHead, MlpHead, PoolingHead
from mlrepro.models.heads.query2label import Query2LabelHead
from mlrepro.settings.base import nearest
from mlrepro.settings.run import check_head_options

HEADS = {
    "gap": partial(PoolingHead, pooling="avg"),
    "gmp": partial(PoolingHead, pooling="max"),
    "gapgmp": partial(PoolingHead, pooling="avg+max"),
    "query2label": Query2LabelHead,
    "ml_decoder": MLDecoderHead,
    "csra": CSRAHead,
    "mlgcn": MLGCNHead,
    "graph": GraphReweightingHead,
    "boostlu": BoostLUHead,
    "mlp": MlpHead,
    "linear": LinearHead,
}


def create_head(
    name: str, channels: int, num_classes: int, map_size: tuple[int, int] | None, **options
) -> nn.Module:
    """The head `name` for maps of C channels and `map_size` (h, w), which only query2label needs."""
    if name not in HEADS:
        raise InputError(f"head: {name!r} is not known; {nearest(name, list(HEADS))}")
    check_head_options(name, options.keys() - {"words", "A", "text_dim"})  # what the data set gives
    if name == "query2label":
        options["map_size"] = map_size
    return HEADS[name](channels, num_classes, **options)
