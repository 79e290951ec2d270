"""Files of weights, read without running code from them, and the authors' checkpoints: their key names to those of our
backbones (timm, cvt.py) and heads.

Each official model is one flat dictionary; `split_authors_state` takes it apart. TResNet and Swin come from
repositories of their own, so they need `official_to_timm_*`; ResNet, ViT and CvT only lose a prefix.
"""

import hashlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from timm.models import tresnet
from timm.models.swin_transformer import get_relative_position_index
from torch import Tensor, nn

from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.models.heads.csra import from_authors_csra
from mlrepro.models.heads.query2label import sine_positions
from mlrepro.settings.run import Run

# What training files name beside tensors: settings, numpy's numbers and arrays. Nothing of it is imported or kept.
FOREIGN = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
)
POSITIONS = "backbone.1.pe"  # Query2Label's constant table
OPTIONAL = (
    ".num_batches_tracked",
    ".inp",
)  # not in files of FrozenBatchNorm and old InPlaceABN; nor word vectors in ML-GCN's


class Nothing:
    """Stands for an object that a file names: it takes what that was made of, and keeps none of it."""

    def __new__(cls, *_):
        return super().__new__(cls)

    def __setstate__(self, _) -> None:
        pass


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors or a torch file, without running code from it; `module.` prefixes removed. Raises InputError
    for a file that is absent, damaged, of another kind, or that names anything but tensors and FOREIGN."""
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; place the weights there, or mend `checkpoint` or `weights` in the run file"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with torch.serialization.safe_globals([(Nothing, name) for name in FOREIGN]):
                state = torch.load(
                    path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
                )
        for key in ("state_dict", "model"):
            state = state[key] if isinstance(state.get(key), dict) else state
        return {
            key.removeprefix("module."): value
            for key, value in state.items()
            if isinstance(value, Tensor)
        }
    except Exception as error:  # every reader fails in its own way on a damaged or foreign file
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = (
            f"it names {named[1]}, and no code that a file names is run"
            if named
            else str(error).partition("\n")[0]
        )
        raise InputError(
            f"{path}: not readable as weights (safetensors, or a torch file of plain tensors): {reason}"
        ) from None


def load_network(model: nn.Module, path: Path, drop: Sequence[str] = ()) -> tuple[str, str]:
    """Fills a Classifier in place from a file of the whole network, in its authors' layout or in ours. Returns the file's
    sha256, and what of the network is not from it, empty where everything is.

    drop: keys, or what precedes one of their dots, that stay as `model` has them; `head.` is left out. Nothing else may be
    missing or left over, but for OPTIONAL. Raises InputError that names the first differing keys and their shapes; `model` is
    then as it was.
    """

    def dropped(key: str, prefixes: Sequence[str] = drop) -> bool:
        return any(f"{key.removeprefix('head.')}.".startswith(f"{prefix}.") for prefix in prefixes)

    def shown(key: str) -> str:
        return f"{key} {', here '.join(str(list(part[key].shape)) for part in (state, wanted) if key in part)}"

    # on_test. is what `select_on_test` keeps beside the chosen weights
    state = {
        key: value for key, value in read_state(path).items() if not key.startswith("on_test.")
    }
    wanted, notes = model.state_dict(), [f"{' and '.join(drop)} started anew"] if drop else []
    table, positions = state.get(POSITIONS), getattr(model.head, "positions", None)
    if table is not None and not (
        table.ndim == 4
        and torch.allclose(table.float(), sine_positions(*table.shape[1:]), atol=1e-3)
    ):
        raise InputError(
            f"{path}: {POSITIONS} is not Query2Label's fixed sine table; no other positions are known"
        )
    if table is not None and positions is not None and table.shape[2:] != positions.shape[2:]:
        notes.append(
            f"positions made anew for maps of {list(positions.shape[2:])}, the file has {list(table.shape[2:])}"
        )
    if not any(key.startswith("backbone.net.") for key in state):
        parts = zip(("backbone.net.", "head."), split_authors_state(state, path), strict=True)
        state = {prefix + key: value for prefix, part in parts for key, value in part.items()}
    differ = {
        "to start anew, but unknown": [
            part for part in drop if not any(dropped(key, [part]) for key in (*wanted, *state))
        ]
    }
    state = {key: value for key, value in state.items() if not dropped(key)}
    differ |= {
        "missing": [
            key for key in wanted if not (key in state or key.endswith(OPTIONAL) or dropped(key))
        ],
        "left over": [key for key in state if not (key in wanted or key.endswith(OPTIONAL))],
        "of another shape": [
            key for key in state if key in wanted and state[key].shape != wanted[key].shape
        ],
    }
    if lines := [
        f"  {len(keys)} {kind}, first {'; '.join(map(shown, keys[:3]))}"
        for kind, keys in differ.items()
        if keys
    ]:
        raise InputError(
            "\n".join(
                [
                    f"{path}: is of another network, with other classes, backbone, head or window:",
                    *lines,
                    "Give this network's file, or name what is to start anew in `checkpoint_drop`",
                ]
            )
        )
    model.load_state_dict(state, strict=False)
    return file_sha256(path), "; ".join(notes)


def tensors_sha256(state: dict[str, Tensor]) -> str:
    """Of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode() + state[key].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def query2label_options(
    state: dict[str, Tensor], where: object = "checkpoint"
) -> dict[str, bool | int | str]:
    """What a Query2Label network's state dict says of its head's options: all but `heads` and `dropout`."""
    shapes = {key.removeprefix("head."): value.shape for key, value in state.items()}
    encoder, decoder = (
        [
            layer
            for layer in (f"transformer.{part}.layers.{i}." for i in range(len(shapes)))
            if f"{layer}linear1.weight" in shapes
        ]
        for part in ("encoder", "decoder")
    )
    kept = [f"{layer}self_attn.in_proj_weight" in shapes for layer in decoder]
    pattern = "both" if all(kept) else "other" if any(kept) else "none"
    if not decoder or (pattern == "other" and kept != [False] + [True] * (len(kept) - 1)):
        raise InputError(
            f"{where}: is not of a known Query2Label; its decoder layers keep self-attention so: {kept}"
        )
    ffn, hidden = shapes[f"{decoder[0]}linear1.weight"]
    projected = {"keep_input_proj": True, "hidden": hidden} if "input_proj.weight" in shapes else {}
    return {
        "ffn": ffn,
        "enc_layers": len(encoder),
        "dec_layers": len(decoder),
        "keep_self_attention": pattern,
        **projected,
    }


def head_options(run: Run) -> dict[str, bool | int | float | str]:
    """The run's head options; Query2Label's that the run file does not say (no `ffn`) are read from its checkpoint."""
    if run.head != "query2label" or not run.checkpoint or "ffn" in run.head_options:
        return run.head_options
    return query2label_options(read_state(Path(run.checkpoint)), run.checkpoint) | run.head_options


# Official prefix -> our prefix inside the head: Query2Label's and ML-GCN's are ours too.
HEAD_PREFIXES = {
    name: name for name in ("transformer.", "query_embed.", "input_proj.", "fc.", "gc1.", "gc2.")
} | {
    "head.decoder.": "",  # ML-Decoder
    "head.fc.": "fc.",  # ASL
    "classifier.multi_head.": "multi_head.",  # CSRA
    "linear_classifier.": "fc.",  # Cole et al., single positive
}
BACKBONE_PREFIXES = ("backbone.0.body.", "backbone.0.", "features.", "feature_extractor.")
# ML-GCN and Cole et al. wrap a torchvision ResNet in a Sequential, which numbers its children.
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
    """An official state dict of Query2Label, ML-Decoder, ASL, CSRA, ML-GCN or Cole et al. as (backbone, head) of ours. Both load
    strictly, with two exceptions: ML-GCN's head has no node features (give the head's own `inp`), and the constant position table
    of Query2Label is dropped."""
    backbone, head = {}, {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if key == POSITIONS:
            continue
        prefix = next((p for p in HEAD_PREFIXES if key.startswith(p)), None)
        if prefix or key == "A":
            head[HEAD_PREFIXES.get(prefix, "") + key.removeprefix(prefix or "")] = value
            continue
        wrapper = next((p for p in BACKBONE_PREFIXES if key.startswith(p)), "")
        inner = key.removeprefix(wrapper)
        child, dot, rest = inner.partition(".")
        backbone[
            RESNET_CHILDREN.get(child, child) + dot + rest
            if wrapper.startswith("feature")
            else inner
        ] = value
    if not backbone or not head:
        raise InputError(
            f"{where}: its keys fit no known model (Query2Label, ML-Decoder, ASL, CSRA, ML-GCN, "
            f"Cole et al.); first: {', '.join(list(state)[:3])}"
        )
    return official_to_timm(backbone), from_authors_csra(
        head
    ) if "multi_head.0.head.weight" in head else head


def official_to_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A backbone's state in its authors' layout in timm's; one that is in timm's already, or of another network, as it is."""
    if "body.conv1.0.weight" in state:
        return official_to_timm_tresnet(state)
    return official_to_timm_swin(state) if "layers.0.downsample.norm.weight" in state else state


def official_to_timm_tresnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """TResNet (v1 and v2) of its authors to timm's `tresnet_*`. Keys start with `body.`. InPlaceABN scales by |weight| + 1e-5
    where batch norm scales by the weight, so the weights are converted. `num_batches_tracked` is there or not, depending on the
    library's version; torch accepts both in a plain dictionary."""
    return tresnet.checkpoint_filter_fn(state, None)


def official_to_timm_swin(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Swin of its authors to timm's `swin_*`: timm puts a down-sampling before a stage, the authors after one. Two constants that
    timm computes itself are dropped: `attn_mask`, and `relative_position_index` after a check."""
    converted = {}
    for key, value in state.items():
        if key.endswith("relative_position_index"):
            expected = get_relative_position_index(*[round(len(value) ** 0.5)] * 2)
            if value.shape != expected.shape or not torch.equal(value.to(expected), expected):
                raise InputError(
                    f"checkpoint: {key} is not Swin's index of relative positions; give a Swin v1 file"
                )
        elif not key.endswith("attn_mask"):
            key = re.sub(
                r"(?<=layers\.)\d+(?=\.downsample)", lambda match: str(int(match[0]) + 1), key
            )
            converted[key] = value
    return converted
