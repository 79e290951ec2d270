"""The network whose cost is measured, on the meta device, which allocates and draws nothing."""

import numpy as np
import torch
from torch import nn

from mlrepro.models.backbones import Backbone, map_size
from mlrepro.models.classifier import Classifier
from mlrepro.models.heads import create_head
from mlrepro.models.heads.catalogue import find_head

WORD_VECTOR = 300  # GloVe's width, of the label graph's nodes


def build(
    head: str, backbone: str, num_classes: int, resolution: int, options: dict | None = None
) -> Classifier:
    """The model on the meta device, in evaluation mode.

    A head on vectors comes with the pooling that extracts them. A label graph that `options` does
    not hold has word vectors 0 and no edges. Raises InputError for what cannot be built.
    """
    size = map_size(backbone, resolution)
    network = build_backbone(backbone, resolution)
    module = build_head_on_maps(head, (network.channels, *size), num_classes, options)
    return Classifier(network, module).eval()


def build_backbone(name: str, resolution: int) -> Backbone:
    with torch.device("meta"):
        return Backbone(name, resolution).eval()


def build_head_on_maps(
    name: str, shape: tuple[int, int, int], num_classes: int, options: dict | None = None
) -> nn.Module:
    """The head, before which one on vectors has the pooling that makes them. See `build_head`."""
    module = build_head(name, shape, num_classes, options)
    if find_head(name).reads == "vectors":
        module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), module)
    return module.eval()


def build_head(
    name: str, shape: tuple[int, int, int], num_classes: int, options: dict | None = None
) -> nn.Module:
    """The head alone. shape: (C, h, w) of the backbone's maps. See `build`."""
    options = dict(options or {})
    if find_head(name).label_graph:
        # What it costs does not depend on the values, but each class needs an edge, to itself.
        no_graph = {"words": np.zeros((num_classes, WORD_VECTOR)), "A": np.eye(num_classes)}
        options = no_graph | options

    channels, *size = shape
    with torch.device("meta"):
        return create_head(name, channels, num_classes, tuple(size), **options).eval()


def parameters_of(model: nn.Module) -> int:
    """The number of parameters, also of those that are frozen."""
    return sum(parameter.numel() for parameter in model.parameters())
