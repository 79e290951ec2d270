"""What every benchmark here shares: two ways timed in turn, and the file that `report.py` renders.

A result is one row a comparison: seconds of ours and of the peer (medians of the repeats), the ratio peer / ours of each
repeat, of wall time and of the CPU seconds of this process, which other programs on the machine disturb less.
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


def parser(description: str, **defaults) -> argparse.ArgumentParser:
    """One with --repeats and --out, and an option for each default, of its type."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (defaults | {"repeats": defaults.get("repeats", 5), "out": RESULTS}).items():
        made.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default: {value}"
        )
    return made


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def environment(device: str = "cpu") -> dict:
    """Versions, processor, cores, and the load of the machine at the end: above the cores in use, others disturbed the times."""
    facts = {
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: installed(name) for name in PACKAGES if installed(name)},
    }
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def timed(function: Callable) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(
    name: str, ours: Callable, usual: Callable, repeats: int, clock: Callable = timed, **facts
) -> dict:
    """A row: both called once untimed, then `repeats` times in turn. clock(function): (wall, CPU) seconds. facts: goal (the least
    ratio), peer (its name), difference (largest, of the two values), unit."""
    clock(ours), clock(usual)
    pairs = [(clock(ours), clock(usual)) for _ in range(repeats)]
    ratios, cpu = ([theirs[i] / max(own[i], 1e-9) for own, theirs in pairs] for i in (0, 1))
    row = {
        "name": name,
        **facts,
        "ours_s": statistics.median(own[0] for own, _ in pairs),
        "peer_s": statistics.median(theirs[0] for _, theirs in pairs),
        "ratio": statistics.median(ratios),
        "ratios": sorted(ratios),
        "cpu_ratio": statistics.median(cpu),
    }
    print(
        f"{name}: ours {row['ours_s']:.4g} s, {facts.get('peer', 'peer')} {row['peer_s']:.4g} s, ratio {row['ratio']:.2f} "
        f"({row['ratios'][0]:.2f} to {row['ratios'][-1]:.2f}; of CPU seconds {row['cpu_ratio']:.2f})",
        flush=True,
    )
    return row


def alone(name: str, seconds: list[float], **facts) -> dict:
    """A row without a peer. facts: limit_s (the goal: at most so many seconds), note."""
    row = {"name": name, **facts, "ours_s": statistics.median(seconds), "seconds": sorted(seconds)}
    spread = f"{row['seconds'][0]:.4g} to {row['seconds'][-1]:.4g}"
    print(f"{name}: {row['ours_s']:.4g} s ({spread}) {facts.get('note', '')}", flush=True)
    return row


def write(what: str, rows: list[dict], how: str, out: Path, device: str = "cpu", **facts) -> Path:
    """<what>-<device>-torch<version>.json. how: the script's docstring, which the page prints."""
    path = out / f"{what}-{device}-torch{version('torch').split('+')[0]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    given = (
        "".join(f" {word}" for word in sys.argv[1:]) if out == RESULTS else ""
    )  # --repeats and the like
    result = {
        "what": what,
        "how": how.strip(),
        "options": given,
        "environment": environment(device),
        **facts,
        "rows": rows,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.name}")
    return path
