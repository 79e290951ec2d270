"""How fast a network is on this machine."""

import time
from functools import cache

import torch
from torch import Tensor, nn

from mlrepro.models.catalogue import parts_of
from mlrepro.models.complexity.networks import build_backbone, build_head_on_maps

BATCH = 8  # pictures of a forward pass that is timed
REPEATS = 3  # the best of them is reported


@cache
def forward_speed(
    head: str,
    backbone: str,
    num_classes: int,
    resolution: int,
    options: tuple,
    device: torch.device,
) -> float:
    """Pictures a second of the forward pass in batches of 8 on this machine, the best of three.

    On one thread of a CPU, a second is one of that thread's, so that other programs do not count.
    Each network is timed once: of one that is composed of several, the seconds are added up.
    options: items of the head's.
    """
    parts = parts_of(backbone)
    seconds = 0.0
    channels = 0
    for network in parts.networks:
        of_network, (own_channels, *size) = network_seconds(network, resolution, device)
        seconds += of_network
        channels += own_channels
    if parts.mirrored:
        seconds *= 2  # of a picture and of its mirror image
    if parts.root:
        size = (1, 1)

    maps = torch.ones(BATCH, channels, *size, device=device)
    on_maps = build_head_on_maps(head, (channels, *size), num_classes, dict(options))
    of_head, _ = best_seconds(on_maps, maps)
    return round(BATCH / (seconds + of_head), 1)


@cache
def network_seconds(
    network: str, resolution: int, device: torch.device
) -> tuple[float, tuple[int, int, int]]:
    """Of a forward pass without a head; and the shape (C, h, w) of its maps."""
    pictures = torch.ones(BATCH, 3, resolution, resolution, device=device)
    seconds, maps = best_seconds(build_backbone(network, resolution), pictures)
    return seconds, tuple(maps.shape[1:])


def best_seconds(model: nn.Module, inputs: Tensor) -> tuple[float, Tensor]:
    """Of three forward passes; and their output. model: on the meta device."""
    device = inputs.device
    model = model.to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(0.01)  # what was in the memory may be denormal, and slow

    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter

    def timed() -> tuple[float, Tensor]:
        start = clock()
        output = model(inputs).cpu()  # which waits for a GPU
        return clock() - start, output

    # On few pictures this is what an evaluation takes longest for: one warm-up, and no more.
    with torch.inference_mode():
        _, output = timed()
        best = min(timed()[0] for _ in range(REPEATS))
    return best, output
