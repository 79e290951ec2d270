"""How fast a network is on this machine."""

import time
from functools import cache

import torch

from mlrepro.models.complexity.networks import build

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
    options: items of the head's.
    """
    model = build(head, backbone, num_classes, resolution, dict(options)).to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(0.01)  # what was in the memory may be denormal, and slow

    batch = torch.ones(BATCH, 3, resolution, resolution, device=device)

    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter

    def seconds() -> float:
        start = clock()
        model(batch).cpu()  # which waits for a GPU
        return clock() - start

    # On few pictures this is what an evaluation takes longest for: one warm-up, and no more.
    with torch.inference_mode():
        seconds()
        best = min(seconds() for _ in range(REPEATS))
    return round(BATCH / best, 1)
