"""What it is worth that a stage keeps the memory of freed tensors (src/mlrepro/memory.py).

    python benchmarks/memory.py

Batches of 32 random pictures at 224 px go through the three packaged networks' bodies, as in an
extraction, and through one training step of the first. Each way has a process of its own, with one
thread; ours keeps freed memory, the peer is glibc as it is. The seconds are those of the batches
alone, user and system; the results are the same bits.
"""

import json
import subprocess
import sys

from common import compare, parser, write

NETWORKS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
BATCHES = 4

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


def seconds(network: str, keeps: bool, trains: bool) -> tuple[float, float]:
    """Wall and CPU seconds of the batches in a process of its own."""
    options = [network, str(BATCHES), str(int(keeps)), str(int(trains))]
    output = subprocess.check_output([sys.executable, "-c", PROGRAM, *options], text=True)
    wall, cpu = output.split()[-2:]
    return float(wall), float(cpu)


def main() -> None:
    given = parser(__doc__, repeats=3).parse_args()
    rows = []
    for network, trains in [*((network, False) for network in NETWORKS), (NETWORKS[0], True)]:
        row = compare(
            f"{'training' if trains else 'features'}: {network}",
            (network, True, trains),
            (network, False, trains),
            given.repeats,
            clock=lambda way: seconds(*way),
            peer="glibc as it is",
        )
        rows.append(row)
        print(json.dumps(row), flush=True)
    write("memory", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
