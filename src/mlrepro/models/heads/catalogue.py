"""The heads by name: where each stands, and what a run file may say of it.

Settings read this list, so nothing here imports torch or a head. A new head is a module and one
entry of `HEADS`; it is imported when a run asks for it, and no other run's code changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest

ROOM = "mlrepro.models.heads"


@dataclass(frozen=True)
class HeadEntry:
    """One head.

    where: "<module in this folder>:<class>"; the class takes (channels, num_classes, **options)
    options: keyword arguments that a run file may set in `head_options`
    fixed: keyword arguments that the head's name stands for
    reads: feature maps (B, C, h, w), vectors (B, C) that were extracted or come from captions, or
        either
    label_graph: takes `words` and `A` of the run's `graph`
    joins_captions: takes `text_dim`, and in forward the captions' vectors beside the maps

    Whatever else the class's constructor takes (`map_size`) is given to it by `create_head`.
    """

    where: str
    options: tuple[str, ...] = ()
    fixed: dict[str, str] = field(default_factory=dict)
    reads: Literal["maps", "vectors", "either"] = "maps"
    label_graph: bool = False
    joins_captions: bool = False

    @property
    def module(self) -> str:
        """The module's full name, for importlib."""
        return f"{ROOM}.{self.where.partition(':')[0]}"

    @property
    def class_name(self) -> str:
        return self.where.partition(":")[2]

    @property
    def takes_captions(self) -> bool:
        """Whether a run may name `captions`: beside the maps, or as part of the vectors."""
        return self.joins_captions or self.reads == "vectors"


def _pooling(kind: str) -> HeadEntry:
    """Global pooling of one kind, and a linear or angular layer."""
    return HeadEntry("pooling:PoolingHead", ("angular",), {"pooling": kind}, joins_captions=True)


QUERY2LABEL_OPTIONS = (
    "hidden",
    "heads",
    "ffn",
    "enc_layers",
    "dec_layers",
    "dropout",
    "keep_self_attention",
    "keep_input_proj",
)
ML_DECODER_OPTIONS = ("groups", "embedding", "ffn", "heads", "dropout", "angular")
GRAPH_OPTIONS = ("layer", "pooling", "angular", "embedding", "ffn")

HEADS = {
    "gap": _pooling("avg"),
    "gmp": _pooling("max"),
    "gapgmp": _pooling("avg+max"),
    "query2label": HeadEntry("query2label:Query2LabelHead", QUERY2LABEL_OPTIONS),
    "ml_decoder": HeadEntry("ml_decoder:MLDecoderHead", ML_DECODER_OPTIONS),
    "csra": HeadEntry("csra:CSRAHead", ("heads", "lam")),
    "mlgcn": HeadEntry("mlgcn:MLGCNHead", ("hidden",), label_graph=True),
    "graph": HeadEntry("graph:GraphReweightingHead", GRAPH_OPTIONS, label_graph=True),
    "boostlu": HeadEntry("boostlu:BoostLUHead", ("alpha",)),
    "mlp": HeadEntry("mlp:MlpHead", ("batch_norm", "dropout"), reads="either"),
    "linear": HeadEntry("linear:LinearHead", reads="vectors"),
}


def find_head(name: str) -> HeadEntry:
    """The entry of a head. Raises InputError with the nearest name for one that is not known."""
    if name not in HEADS:
        raise InputError(f"head: {name!r} is not known; {nearest(name, list(HEADS))}")
    return HEADS[name]


def check_head_options(head: str, options: Iterable[str]) -> None:
    """Raises InputError for an option that a run file cannot set of this head."""
    valid = list(find_head(head).options)
    unknown = sorted(set(options) - set(valid))
    if not unknown:
        return

    remedy = nearest(unknown[0], valid) if valid else "it has none"
    raise InputError(f"head_options: {unknown[0]!r} is none of head {head!r}; {remedy}")
