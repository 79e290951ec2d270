"""What the network of a run on features or maps costs, from its two parts.

The extraction has the backbone at hand and keeps its cost beside the features; the evaluation of a
run adds that of the head. So it builds no backbone, and imports no library of networks.
"""

import torch
from torch import nn

from mlrepro.models.heads.catalogue import find_head
from mlrepro.records import Cost
from mlrepro.settings.run import Run

# Operations that are multiply-accumulates (operations.py).
PRODUCTS = ("convolution", "linear", "attention", "matmul_other")


def backbone_cost(name: str, resolution: int) -> dict:
    """Of one picture, for the header of a file of features or maps.

    parameters: all. operations: by kind (operations.py). shape: (C, h, w) of the map.
    """
    from mlrepro.models.backbones import map_size
    from mlrepro.models.complexity.networks import build_backbone, parameters_of
    from mlrepro.models.complexity.operations import count_of

    backbone = build_backbone(name, resolution)
    picture = torch.empty(1, 3, resolution, resolution, device="meta")
    operations, _ = count_of(backbone, picture, backbone)
    return {
        "parameters": parameters_of(backbone),
        "operations": dict(sorted(operations.items())),
        "shape": [backbone.channels, *map_size(name, resolution)],
    }


def add_head(run: Run, num_classes: int, backbone: dict, text_dim: int = 0, **graph) -> Cost:
    """The cost of a run on features or maps, the same as `measure_cost` of its whole network.

    backbone: what `backbone_cost` gave. text_dim, graph: as there.
    """
    if find_head(run.head).reads == "vectors":
        # A linear layer, whose products are its weights. It reads captions' vectors, too.
        macs = (backbone["shape"][0] + text_dim) * num_classes
        parameters = macs + num_classes
        trainable = parameters
    else:
        macs, parameters, trainable = _of_head(run, num_classes, backbone["shape"], graph)

    operations = backbone["operations"]
    macs += sum(operations.get(kind, 0) for kind in PRODUCTS)
    return cost_of(backbone["parameters"] + parameters, trainable, macs)


def _of_head(run: Run, num_classes: int, shape: list[int], graph: dict) -> tuple[int, int, int]:
    """MACs, parameters, and how many of them learn. shape: (C, h, w) of the maps."""
    from mlrepro.models.complexity.networks import build_head, parameters_of
    from mlrepro.models.complexity.operations import count_of

    head = build_head(run.head, tuple(shape), num_classes, run.head_options | graph)
    maps = torch.empty(1, *shape, device="meta")
    everything, branch = count_of(head, maps, head)
    macs = sum(everything[kind] - branch[kind] for kind in PRODUCTS)
    return macs, parameters_of(head), trainable_parameters_of(head)


def linear_cost(width: int, num_classes: int) -> Cost:
    """Of a linear layer alone, whose products are its weights."""
    macs = width * num_classes
    parameters = macs + num_classes
    return cost_of(parameters, parameters, macs)


def cost_of(parameters: int, trainable: int, macs: int) -> Cost:
    return Cost(
        parameters=parameters,
        trainable_parameters=trainable,
        gmacs=macs / 1e9,
        gflops=2 * macs / 1e9,
    )


def trainable_parameters_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
