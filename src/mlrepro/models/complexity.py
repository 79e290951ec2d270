"""What a model costs: parameters and multiply-accumulates of one picture, measured on the built model (no data, no weights)."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mlrepro.config import Run
from mlrepro.models.backbones import Backbone, map_size
from mlrepro.models.classifier import Classifier
from mlrepro.models.heads import create_head
from mlrepro.results import Cost


def multiply_accumulates(model: nn.Module, resolution: int) -> int:
    """MACs of convolutions, matrix products and attention for one picture (torch FlopCounterMode counts 2 a MAC)."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, resolution, resolution, device="meta"))
    return counter.get_total_flops() // 2


def measure_cost(run: Run, num_classes: int) -> Cost:
    """Parameters and GMACs of backbone and head at the run's resolution, also where only the head was trained."""
    with torch.device("meta"):
        backbone = Backbone(run.backbone, run.resolution)
        if run.inputs == "features":
            linear = create_head("linear", backbone.channels, num_classes, None)
            head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
        else:
            head = create_head(run.head, backbone.channels, num_classes, map_size(run.backbone, run.resolution))
        model = Classifier(backbone, head).eval()
    macs = multiply_accumulates(model, run.resolution)
    trained = head if run.inputs == "features" else model
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in trained.parameters() if p.requires_grad),
        gmacs=macs / 1e9, gflops=2 * macs / 1e9,
    )
