"""What a run's network costs, for its record, and how fast it is on this machine."""

from functools import cache

import torch
from torch import nn
from torch.utils.benchmark import Timer

from mlrepro.models.checkpoints import head_options
from mlrepro.models.classifier import freeze
from mlrepro.models.complexity.networks import build, parameters_of
from mlrepro.models.complexity.operations import PRODUCTS, count
from mlrepro.records import Cost
from mlrepro.settings.run import Run

BATCH = 16  # pictures of a forward pass that is timed
REPEATS = 3  # the best of them is reported


def measure_cost(run: Run, num_classes: int, text_dim: int = 0, **graph) -> Cost:
    """Parameters and GMACs of backbone and head at the run's resolution.

    Both also where only the head was trained.

    text_dim: width of the captions' vectors, of which only the classifier's part counts, and not
        the text model, as in the captions + images study
    graph: words and A of the head's label graph, whose branch counts as precomputed
    """
    # Parameters of the classifier that read the captions' vectors, and as many products a picture.
    text = text_dim * num_classes
    if run.inputs == "captions":
        parameters = text + num_classes
        return _cost(parameters, parameters, text)

    model = build(run.head, run.backbone, num_classes, run.resolution, head_options(run) | graph)
    everything, branch = count(model, run.resolution)
    macs = sum(everything[kind] - branch[kind] for kind in PRODUCTS) + text

    # Runs on features and maps train the head alone, whatever they say of the backbone.
    freeze(model.backbone, run.freeze)
    head_alone = run.inputs != "images" or run.freeze == "backbone"
    trained = _trainable_parameters(model.head if head_alone else model)
    return _cost(parameters_of(model) + text, trained + text, macs)


def _cost(parameters: int, trainable: int, macs: int) -> Cost:
    return Cost(
        parameters=parameters,
        trainable_parameters=trainable,
        gmacs=macs / 1e9,
        gflops=2 * macs / 1e9,
    )


def _trainable_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@cache
def forward_speed(
    head: str,
    backbone: str,
    num_classes: int,
    resolution: int,
    options: tuple,
    device: torch.device,
) -> float:
    """Pictures a second of the forward pass in batches of 16 on this machine, the best of three.

    options: items of the head's.
    """
    model = build(head, backbone, num_classes, resolution, dict(options)).to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(0.01)  # what was in the memory may be denormal, and slow

    batch = torch.ones(BATCH, 3, resolution, resolution, device=device)
    timer = Timer(
        "model(batch).cpu()",
        globals={"model": model, "batch": batch},
        num_threads=torch.get_num_threads(),
    )
    with torch.inference_mode():
        seconds = min(timer.timeit(1).mean for _ in range(REPEATS))
    return round(len(batch) / seconds, 1)
