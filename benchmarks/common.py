"""What every benchmark here shares: two ways timed in turn, and the file that `report.py` renders.

A result is one row a comparison: seconds of ours and of the peer (medians of the repeats), the
ratio peer / ours of each repeat, of wall time and of the CPU seconds of this process, which other
programs on the machine disturb less.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pillow",
    "numba",
    "simplejpeg",
    "scikit-learn",
    "torchmetrics",
    "dvc",
)

# Calls a function, and gives its wall and CPU seconds.
Clock = Callable[[Callable], tuple[float, float]]


# --- the command line ----------------------------------------------------------------------------


def parser(description: str, **defaults) -> argparse.ArgumentParser:
    """One with --repeats and --out, and an option for each default, of its type."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults.setdefault("repeats", 5)
    defaults["out"] = RESULTS
    for name, value in defaults.items():
        flag = f"--{name.replace('_', '-')}"
        options.add_argument(flag, type=type(value), default=value, help=f"default: {value}")
    return options


# --- the machine ---------------------------------------------------------------------------------


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's model as Linux names it, elsewhere what Python says."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def environment(device: str = "cpu") -> dict:
    """Versions, processor, cores, and the load of the machine at the end.

    A load above the cores in use: others disturbed the times.
    """
    versions = {name: installed(name) for name in PACKAGES}
    facts = {
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: number for name, number in versions.items() if number},
    }
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


# --- times ---------------------------------------------------------------------------------------


def timed(function: Callable) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall = time.perf_counter()
    cpu = time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(
    name: str, ours: Callable, usual: Callable, repeats: int, clock: Clock = timed, **facts
) -> dict:
    """A row: both called once untimed, then `repeats` times in turn.

    facts: goal (the least ratio), peer (its name), difference (largest, of the two values), unit.
    """
    # The first calls import, compile and fill caches.
    clock(ours)
    clock(usual)
    our_times = []
    peer_times = []
    for _ in range(repeats):
        our_times.append(clock(ours))
        peer_times.append(clock(usual))

    our_wall, our_cpu = zip(*our_times, strict=True)
    peer_wall, peer_cpu = zip(*peer_times, strict=True)
    wall_ratios = sorted(ratios(peer_wall, our_wall))
    row = {
        "name": name,
        **facts,
        "ours_s": statistics.median(our_wall),
        "peer_s": statistics.median(peer_wall),
        "ratio": statistics.median(wall_ratios),
        "ratios": wall_ratios,
        "ours_cpu_s": statistics.median(our_cpu),
        "peer_cpu_s": statistics.median(peer_cpu),
        "cpu_ratio": statistics.median(ratios(peer_cpu, our_cpu)),
    }
    peer = facts.get("peer", "peer")
    print(
        f"{name}: ours {row['ours_s']:.4g} s, {peer} {row['peer_s']:.4g} s, "
        f"ratio {row['ratio']:.2f} ({wall_ratios[0]:.2f} to {wall_ratios[-1]:.2f}; "
        f"of CPU seconds {row['cpu_ratio']:.2f})",
        flush=True,
    )
    return row


def ratios(of_peer: tuple[float, ...], of_ours: tuple[float, ...]) -> list[float]:
    """Peer / ours of each repeat."""
    pairs = zip(of_peer, of_ours, strict=True)
    # A step that took no CPU time by the clock's resolution is no division by zero.
    return [theirs / max(own, 1e-9) for theirs, own in pairs]


def alone(name: str, seconds: list[float], **facts) -> dict:
    """A row without a peer. facts: limit_s (the goal: at most so many seconds), note."""
    ordered = sorted(seconds)
    median = statistics.median(ordered)
    spread = f"{ordered[0]:.4g} to {ordered[-1]:.4g}"
    print(f"{name}: {median:.4g} s ({spread}) {facts.get('note', '')}", flush=True)
    return {"name": name, **facts, "ours_s": median, "seconds": ordered}


# --- the file ------------------------------------------------------------------------------------


def write(what: str, rows: list[dict], how: str, out: Path, device: str = "cpu", **facts) -> Path:
    """<what>-<device>-torch<version>.json. how: the script's docstring, which the page prints."""
    torch_version = version("torch").split("+")[0]
    path = out / f"{what}-{device}-torch{torch_version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)

    # --repeats and the like: how to get these results again, which --out elsewhere does not tell.
    options = ""
    if out == RESULTS:
        options = "".join(f" {word}" for word in sys.argv[1:])
    result = {
        "what": what,
        "how": how.strip(),
        "options": options,
        "environment": environment(device),
        **facts,
        "rows": rows,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.name}")
    return path
