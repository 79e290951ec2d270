"""What a training runs on, and what a record says of it."""

import platform
import resource
from importlib.metadata import version

import torch

from mlrepro.environments import Environment
from mlrepro.training.distributed import WORLD
from mlrepro.training.precision import in_bfloat16

LIBRARIES = ("torch", "torchvision", "timm", "numpy")


def device() -> torch.device:
    """The GPU if there is one; in a process of torchrun the one that it was given."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def environment(seconds: float, pictures: int, precision: str = "auto") -> Environment:
    """What `pictures`, each counted as often as it was computed, took `seconds` on.

    precision: of the run.
    """
    return Environment(
        python=platform.python_version(),
        versions={name: version(name) for name in LIBRARIES},
        device=_device_name(),
        precision="bfloat16" if in_bfloat16(precision, device()) else "float32",
        threads=torch.get_num_threads(),
        train_seconds=round(seconds, 2),
        images_per_second=round(pictures / max(seconds, 1e-9), 1),
        peak_memory_mib=round(_peak_memory(), 1),
    )


def _device_name() -> str:
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        name = f"CPU ({platform.machine()})"
    return f"{WORLD} x {name}" if WORLD > 1 else name


def _peak_memory() -> float:
    """MiB, of the GPU's memory where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    # Linux counts it in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
