"""What a newcomer waits for: the demo's pipeline in a fresh clone, stage by stage.

    python benchmarks/newcomer.py

The last commit is cloned into a temporary folder and `dvc repro` runs there, in this environment,
with tracking: what `make repro` does once the installation is there. It runs on the machine as it
is, and once more beside busy processes, which are started and ended here (`--busy 0`: not). CPU
seconds are those of DVC and of all its children, read when DVC names the next stage. The peer is a
process that imports torch and ends: no stage that computes with torch can cost less.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import alone, parser, write

ROOT = Path(__file__).resolve().parents[1]
DVC = (sys.executable, "-m", "dvc", "repro")
PEER = (sys.executable, "-c", "import torch")
BUSY = (sys.executable, "-c", "while True: pass")

# Stages of the demo in which torch computes.
WITH_TORCH = ("extract", "train", "evaluate")
STAGE = re.compile(r"Running stage '([^'@]+)")
TICKS = os.sysconf("SC_CLK_TCK")

# Goals of the whole: wall seconds on two idle cores, and CPU seconds.
WALL_LIMIT = 300
CPU_LIMIT = 600


def cpu_seconds(pid: int) -> float:
    """Of a process and of its children that have ended."""
    # proc(5): fields 14 to 17. The second is the program's name in parentheses, which may hold
    # anything; behind it is the third.
    _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    user, system, children_user, children_system = map(int, rest.split()[11:15])
    return (user + system + children_user + children_system) / TICKS


def run_pipeline(folder: Path) -> tuple[dict[str, float], dict[str, float], Counter]:
    """Wall and CPU seconds by kind of stage, DVC's own under `dvc`, and how many stages ran."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "true", "PYTHONPATH": str(folder / "src")}
    process = subprocess.Popen(
        DVC,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    count: Counter = Counter()
    stage = "dvc"
    last_wall = time.perf_counter()
    last_cpu = 0.0
    for line in process.stdout:
        match = STAGE.search(line)
        if match is None:
            continue
        # A stage is over when DVC names the next one.
        now = time.perf_counter()
        used = cpu_seconds(process.pid)
        wall[stage] = wall.get(stage, 0.0) + now - last_wall
        cpu[stage] = cpu.get(stage, 0.0) + used - last_cpu
        last_wall = now
        last_cpu = used

        stage = match[1]
        count[stage] += 1

    used = cpu_seconds(process.pid)  # before it is waited for, when the kernel forgets it
    if process.wait():
        raise RuntimeError("dvc repro failed; run it by hand in a clone to see why")
    wall[stage] = wall.get(stage, 0.0) + time.perf_counter() - last_wall
    cpu[stage] = cpu.get(stage, 0.0) + used - last_cpu
    return wall, cpu, count


def import_torch(repeats: int) -> float:
    """CPU seconds of the peer, the least of several: the first reads files from the disk."""
    seconds = []
    for _ in range(repeats):
        before = os.times()
        subprocess.run(PEER, check=True)
        after = os.times()
        used = after.children_user + after.children_system
        seconds.append(used - before.children_user - before.children_system)
    return min(seconds)


def measured_rows(peer: float, beside: str) -> list[dict]:
    """A row a kind of stage, and one of all. beside: what else runs, for the rows' names."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        subprocess.run(("git", "clone", "-q", str(ROOT), str(folder)), check=True)
        (folder / "dvc.lock").unlink(missing_ok=True)  # or DVC would take records for done
        wall, cpu, count = run_pipeline(folder)

    rows = []
    for stage, seconds in wall.items():
        note = f"{cpu[stage]:.1f} CPU s"
        if stage in WITH_TORCH:
            ratio = cpu[stage] / (peer * count[stage])
            note += f", {ratio:.1f} times those of importing torch as often"
        name = f"{stage} ({count[stage]})" if count[stage] > 1 else stage
        rows.append(alone(f"{name}{beside}", [seconds], note=note, cpu_s=cpu[stage]))

    total_cpu = sum(cpu.values())
    note = f"{total_cpu:.0f} CPU s of at most {CPU_LIMIT}"
    limit = {} if beside else {"limit_s": WALL_LIMIT}
    total = alone(f"all{beside}", [sum(wall.values())], note=note, cpu_s=total_cpu, **limit)
    return [*rows, total]


def main() -> None:
    options = parser(__doc__, repeats=3, busy=2).parse_args()
    peer = import_torch(options.repeats)
    rows = measured_rows(peer, "")

    busy = [subprocess.Popen(BUSY) for _ in range(options.busy)]
    try:
        if busy:
            rows += measured_rows(peer, f", beside {options.busy} busy processes")
    finally:
        for process in busy:
            process.kill()

    write("newcomer", rows, __doc__, options.out, import_torch_cpu_s=peer)


if __name__ == "__main__":
    main()
