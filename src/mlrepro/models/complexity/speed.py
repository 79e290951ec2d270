"""How fast a network is on this machine."""

from functools import cache

import torch
from torch.utils.benchmark import Timer

from mlrepro.models.complexity.networks import build

BATCH = 16  # pictures of a forward pass that is timed
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
