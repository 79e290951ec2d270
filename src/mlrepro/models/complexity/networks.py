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
    entry = find_head(head)
    options = dict(options or {})
    if entry.label_graph:
        no_graph = {"words": np.zeros((num_classes, WORD_VECTOR)), "A": np.eye(num_classes)}
        options = no_graph | options

    with torch.device("meta"):
        network = Backbone(backbone, resolution)
        module = create_head(head, network.channels, num_classes, size, **options)
        if entry.reads == "vectors":
            module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), module)
        return Classifier(network, module).eval()


def parameters_of(model: nn.Module) -> int:
    """The number of parameters, also of those that are frozen."""
    return sum(parameter.numel() for parameter in model.parameters())
