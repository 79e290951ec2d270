"""What it is worth that a stage keeps the memory of freed tensors (src/mlrepro/memory.py).

    python benchmarks/memory.py

Batches of 32 random pictures at 224 px go through the three packaged networks' bodies, as in an
extraction, and through one training step of the first. Each way has a process of its own, with one
thread; ours keeps freed memory, the peer is glibc as it is. The seconds are those of the batches
alone, user and system; the results are the same bits.
"""

import subprocess
import sys
from typing import NamedTuple

from common import compare, parser, write

NETWORKS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
BATCHES = 4  # of each network

PROGRAM = """
import sys, time
from mlrepro.memory import keep_freed_memory

network, batches, keeps, trains = sys.argv[1], *map(int, sys.argv[2:])
if keeps and not keep_freed_memory():
    sys.exit("the memory cannot be kept: this needs glibc, without MALLOC_ settings")

import torch
from mlrepro.models.complexity.networks import build_backbone
torch.set_num_threads(1)
torch.manual_seed(0)
backbone = build_backbone(network, 224).to_empty(device="cpu")
for tensor in [*backbone.parameters(), *backbone.buffers()]:
    torch.nn.init.uniform_(tensor, 0.01, 0.02) if tensor.is_floating_point() else tensor.zero_()
backbone = backbone.to(memory_format=torch.channels_last).train(bool(trains))
pictures = torch.randn(32, 3, 224, 224).to(memory_format=torch.channels_last)

def step():
    with torch.set_grad_enabled(bool(trains)):
        outputs = backbone(pictures).mean((2, 3))
        if trains:
            outputs.sum().backward()

step()
wall, cpu = time.perf_counter(), time.process_time()
for _ in range(batches):
    step()
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


class Way(NamedTuple):
    """A network, whether freed memory is kept, and whether it is trained."""

    network: str
    keeps: bool
    trains: bool


def seconds(way: Way) -> tuple[float, float]:
    """Wall and CPU seconds of the batches in a process of its own."""
    numbers = (BATCHES, int(way.keeps), int(way.trains))
    options = [way.network, *map(str, numbers)]

    command = [sys.executable, "-c", PROGRAM, *options]
    output = subprocess.check_output(command, text=True)

    # The last line, behind what torch may say.
    wall, cpu = output.splitlines()[-1].split()
    return float(wall), float(cpu)


def row(name: str, network: str, trains: bool, repeats: int) -> dict:
    ours = Way(network, keeps=True, trains=trains)
    usual = Way(network, keeps=False, trains=trains)
    return compare(f"{name}: {network}", ours, usual, repeats, clock=seconds, peer="glibc as it is")


def main() -> None:
    given = parser(__doc__, repeats=3).parse_args()
    rows = []
    for network in NETWORKS:
        rows.append(row("features", network, trains=False, repeats=given.repeats))
    rows.append(row("training", NETWORKS[0], trains=True, repeats=given.repeats))
    write("memory", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
