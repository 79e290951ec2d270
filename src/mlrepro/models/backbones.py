"""Image backbones: a picture (B, 3, S, S) to a feature map (B, C, h, w).

Most are timm's, two are torchvision's, two our own. timm and torchvision take seconds to import, so
that happens only where a network of theirs is built. Weights are loaded in pretrained.py.
"""

import importlib
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mlrepro.errors import InputError
from mlrepro.models.catalogue import EMBEDDING, OURS, SIDE_BY_SIDE, backbone_module, parts_of
from mlrepro.models.pretrained import Origin, joined_origin, load_weights
from mlrepro.settings.base import nearest

# Of torchvision, and what they are built with. transform_input: GoogLeNet's weights want [-1, 1],
# which it makes of ImageNet's normalisation by itself.
TORCHVISIONS = {
    "alexnet": {},
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": False},
}
NOT_TIMMS = (*TORCHVISIONS, *OURS)

# Of timm, under names with a dot, which no run id can bear.
TIMM_NAMES = {
    "tf_efficientnetv2_s_in21k": "tf_efficientnetv2_s.in21k",
    "tf_efficientnetv2_m_in21k": "tf_efficientnetv2_m.in21k",
    "tf_efficientnetv2_l_in21k": "tf_efficientnetv2_l.in21k",
    "tf_efficientnetv2_xl_in21k": "tf_efficientnetv2_xl.in21k",
    # Google's, which Hugging Face serves too.
    "vit_base_patch16_224_in21k": "vit_base_patch16_224.orig_in21k",
}

# The normalisation of torchvision's networks and ours; timm states that of each of its own.
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
IMAGENET_CLASSES = 1000

# Google trained the EfficientNet-Lites on (x - 127) / 128 of a pixel x, of which timm's
# configuration has the round (x - 127.5) / 127.5.
LITE = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
LITES = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")

# Below the square root of features, whose values are about 0.01 to 1.
ROOT_OFFSET = 1e-4

# What networks raise for pictures of a size that they cannot take, or where they give no map.
SIZE_ERRORS = (AssertionError, AttributeError, RuntimeError, TypeError, ValueError)

# Sizes that are tried where one cannot be taken, in pixels from it. Grids of patches and windows
# can be coarse, hence so many.
STEP = 4
TRIED_BELOW = 64
TRIED_ABOVE = 128


class Backbone(nn.Module):
    """A network without its classifier. forward: (B, 3, S, S) -> (B, channels, h, w).

    A name may stand for several networks, whose maps are put side by side, for the mean of a
    picture's map and its mirror image's, and for the square roots of a map's means, which are
    (B, channels, 1, 1) (models/catalogue.py).
    `mean`, `std`: the normalisation its weights were trained with (0 and 1 for TResNets). Token
    models (ViT, Swin) are reshaped to a map. AlexNet keeps its two hidden linear layers and gives
    (B, 4096, 1, 1). An image tower's embedding is (B, channels, 1, 1), of length sqrt(channels), so
    that its values are about as large as those of other features.
    """

    def __init__(self, name: str, resolution: int):
        super().__init__()
        networks, self.mirrored, self.takes_root = parts_of(name)
        first = networks[0]
        if len(networks) > 1:
            self.net = SideBySide(networks, resolution)
            self.channels, config = self.net.channels, self.net.config
        elif first in NOT_TIMMS:
            self.net, self.channels = _without_classifier(first, create_published(first))
            config = IMAGENET
        else:
            self.net, config = create_timms(first, resolution)
            self.channels = self.net.num_classes or self.net.num_features

        self.embeds = first.endswith(EMBEDDING)
        # What the network's pictures must be like, and what the form of its output is.
        self.mean = tuple(config["mean"])
        self.std = tuple(config["std"])
        self.interpolation = config.get("interpolation", "bilinear")
        self.prefix_tokens = getattr(self.net, "num_prefix_tokens", 0)
        self.channels_last_output = getattr(self.net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self._maps(pictures)
        if self.mirrored:
            # The mirror image's map is turned back, so that both are of the same places.
            maps = (maps + self._maps(pictures.flip(3)).flip(3)) / 2
        if self.takes_root:
            maps = signed_root(maps.mean((2, 3), keepdim=True))
        return maps

    def _maps(self, pictures: Tensor) -> Tensor:
        features = self.net(pictures)
        if self.embeds:
            embedding = normalize(features) * self.channels**0.5
            return embedding[:, :, None, None]  # a map of one cell

        # Tokens (B, n, C): class and register tokens, which have no place on the map, come first.
        if features.ndim == 3:
            features = features[:, self.prefix_tokens :].transpose(1, 2).flatten(1)

        # Flat (B, C h w): so do AlexNet and GoogLeNet end, too. Maps of square pictures are square.
        if features.ndim == 2:
            cells = features.shape[1] / self.channels
            side = round(cells**0.5)
            return features.unflatten(1, (self.channels, side, side))

        return features.permute(0, 3, 1, 2) if self.channels_last_output else features


def signed_root(values: Tensor) -> Tensor:
    """The square root of each value's distance from 0, with the value's sign.

    A root is infinitely steep at 0, where it would make much of a rounding: ROOT_OFFSET is added
    below it, and its root taken off again.
    """
    return values.sign() * ((values.abs() + ROOT_OFFSET).sqrt() - ROOT_OFFSET**0.5)


class SideBySide(nn.Module):
    """Several networks that see the same picture. forward: (B, 3, S, S) -> (B, sum of C, h, w).

    config: the input that they want. Raises InputError where they want different ones.
    """

    def __init__(self, names: tuple[str, ...], resolution: int):
        super().__init__()
        self.names = names
        self.parts = nn.ModuleList(Backbone(name, resolution) for name in names)
        self.channels = sum(part.channels for part in self.parts)

        configs = [
            {"mean": part.mean, "std": part.std, "interpolation": part.interpolation}
            for part in self.parts
        ]
        self.config = configs[0]
        if any(config != self.config for config in configs):
            raise InputError(f"backbones {', '.join(names)}: want pictures of different kinds")

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.cat([part(pictures) for part in self.parts], 1)


# --- building ------------------------------------------------------------------------------------


def create_published(name: str) -> nn.Module:
    """The plain network with the classifier it was published with, random weights.

    CvT-w24 and the small CNN get one of ImageNet-1k's classes.
    """
    if name in OURS:
        module = importlib.import_module(backbone_module(name))
        _, _, class_name = OURS[name].partition(":")
        net = getattr(module, class_name)()
        return nn.Sequential(net, nn.Linear(net.num_features, IMAGENET_CLASSES))

    if name in TORCHVISIONS:
        import torchvision

        return getattr(torchvision.models, name)(**TORCHVISIONS[name])

    import timm

    return timm.create_model(timm_name(name))


def timm_name(name: str) -> str:
    """As timm writes it. A run id bears no dot: `vit_base_patch16_224__dino` is timm's `.dino`."""
    plain = name.removesuffix(EMBEDDING)
    return TIMM_NAMES.get(plain, plain.replace("__", "."))


def _without_classifier(name: str, net: nn.Module) -> tuple[nn.Module, int]:
    """A published network that is not timm's without its last layer, and the width it then gives.

    The layer is built first and then taken away: a seed draws the same weights for what follows.
    """
    if name in OURS:
        return net[0], net[1].in_features

    # AlexNet: the last of its three linear layers goes.
    if name == "alexnet":
        channels = net.classifier[6].in_features
        net.classifier[6] = nn.Identity()
        return net, channels

    # GoogLeNet: its pooling goes, too, so that a map is left.
    channels = net.fc.in_features
    net.avgpool = nn.Identity()
    net.dropout = nn.Identity()
    net.fc = nn.Identity()
    return net, channels


def create_timms(
    name: str, resolution: int, whole: bool = False, pretrained: bool = False
) -> tuple[nn.Module, dict]:
    """A network of timm without pooling and classifier, and timm's configuration of its input.

    whole: with both, as timm has its weights. So is an image tower that embeds: its last layer
    projects to the embedding.
    """
    import timm

    config = timm.get_pretrained_cfg(timm_name(name)).to_dict()
    if name in LITES:
        config |= LITE
    # Networks with position tables need the size; convolutional ones do not take it.
    options = {"img_size": resolution} if config["fixed_input_size"] else {}
    if not whole and not name.endswith(EMBEDDING):
        options |= {"num_classes": 0, "global_pool": ""}
    return timm.create_model(timm_name(name), pretrained=pretrained, **options), config


def create_backbone(name: str, weights: str, resolution: int) -> tuple[Backbone, Origin]:
    """Builds a backbone and loads `weights`; returns also where they came from.

    weights: none, timm, torchvision, package, package://module/file or a file

    Raises InputError for an unknown name, a resolution it cannot take, weights that are not there
    or of another network.
    """
    # Refuses unknown names and sizes before anything is allocated.
    map_size(name, resolution)
    backbone = Backbone(name, resolution)
    networks = parts_of(name).networks
    if len(networks) == 1:
        return backbone, load_weights(backbone.net, networks[0], weights, resolution)

    origins = []
    for network, part in zip(networks, backbone.net.parts, strict=True):
        origins.append(load_weights(part.net, network, weights, resolution))
    return backbone, joined_origin(origins)


# --- what sizes a network takes ------------------------------------------------------------------


@cache
def map_size(name: str, resolution: int) -> tuple[int, int]:
    """Height and width of the feature map for square pictures, found without computing it.

    Raises InputError for an unknown name, and for a resolution that the network cannot take, with
    those it can.
    """
    _check_name(name)
    try:
        return _map_size(name, resolution)
    except SIZE_ERRORS as error:
        reason = str(error).partition("\n")[0]
    working = _nearest_resolutions(name, resolution)
    if not working:
        raise InputError(
            f"backbone {name!r} gives no map of features for pictures of {resolution} px, nor of "
            f"sizes near it ({reason}); take another backbone"
        )
    raise InputError(
        f"resolution: backbone {name!r} cannot take {resolution} x {resolution} pictures "
        f"({reason}); the nearest it takes: {' or '.join(map(str, working))}"
    )


def _check_name(name: str) -> None:
    networks = parts_of(name).networks
    if len(networks) > 1:
        return
    [plain] = networks
    if plain in NOT_TIMMS or plain in TIMM_NAMES:
        return

    import timm

    # A name with a tag is as timm lists it among those that have weights.
    timms = timm_name(plain)
    if not timm.is_model(timms) or ("." in timms and not timm.is_model_pretrained(timms)):
        known = [*timm.list_models(), *NOT_TIMMS, *TIMM_NAMES, *SIDE_BY_SIDE]
        raise InputError(
            f"backbone {name!r} is not known (timm {timm.__version__}, {', '.join(NOT_TIMMS)}); "
            f"{nearest(name, known)}"
        )


def _map_size(name: str, resolution: int) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad():
        backbone = Backbone(name, resolution).eval()
        features = backbone(torch.empty(1, 3, resolution, resolution))
    return tuple(features.shape[2:])


def _nearest_resolutions(name: str, resolution: int) -> list[int]:
    """The nearest multiples of 4 below and above that work, found by trying; of none, none.

    Every known constraint has a multiple of 4.
    """
    start = resolution // STEP * STEP
    below = range(start, max(start - TRIED_BELOW, 0), -STEP)
    above = range(start + STEP, start + STEP + TRIED_ABOVE, STEP)

    nearest_below = _first_taken(name, below)
    nearest_above = _first_taken(name, above)
    return [size for size in (nearest_below, nearest_above) if size is not None]


def _first_taken(name: str, sizes: range) -> int | None:
    for size in sizes:
        try:
            _map_size(name, size)
        except SIZE_ERRORS:
            continue
        return size
    return None
