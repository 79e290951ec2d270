"""Whether a training fits into the memory that is free, said before it starts."""

from pathlib import Path

from mlrepro.cores import own_folders
from mlrepro.training.job import TrainingJob

MEMORY = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")
MIB = 2**20
FLOAT32 = 4  # bytes
CHANNELS = 3  # of a picture

# A process that has loaded torch and trained something tiny.
OF_TORCH = 720 * MIB

# Of each weight: itself, its gradient, two moments of the optimiser, the best and what is written.
COPIES_OF_WEIGHTS = 6

# Another half for what is not counted: activations, the other programs, the cache of files.
MARGIN = 1.5


def warn_of_little_memory(job: TrainingJob) -> None:
    """Prints a line where little memory is free; the training goes on in any case."""
    needed = needed_memory(job)
    free = free_memory()
    if free is None or free >= needed * MARGIN:
        return
    print(
        f"warning: {free / MIB:,.0f} MiB of memory are free, and this training needs at least "
        f"{needed / MIB:,.0f} MiB; it may become slow, or the system may kill it. End other "
        "programs, or train on a machine with more memory"
    )


def needed_memory(job: TrainingJob) -> int:
    """Bytes that the process has at least: torch, features, targets, weights, and a batch."""
    targets = job.targets.numel()  # int8
    # Everything else is in the GPU's own memory.
    if job.device.type == "cuda":
        return OF_TORCH + targets

    of_features = 0
    batch = 0
    features = getattr(job.task.inputs, "features", None)
    if features is not None:
        row = features[0].numel() * features.element_size()
        batch = row * job.run.batch_size
        maps = features.ndim == 4
        if not maps:  # these stay in their file
            of_features = row * len(features)
    elif job.run.resolution:
        batch = FLOAT32 * CHANNELS * job.run.resolution**2 * job.run.batch_size

    weights = sum(value.numel() * value.element_size() for value in job.task.model.parameters())
    return OF_TORCH + of_features + targets + COPIES_OF_WEIGHTS * weights + batch


def free_memory() -> int | None:
    """Bytes that this process may have, with those that it has already; none where nobody says."""
    free = _kibibytes(MEMORY, "MemAvailable")
    own = _kibibytes(STATUS, "RssAnon") or 0
    if free is None:
        return None

    # A container or a job of Slurm may have less than the machine.
    left = [free]
    for folder in own_folders("memory"):
        of_group = _left(folder)
        if of_group is not None:
            left.append(of_group)
    return min(left) + own


def _kibibytes(path: Path, key: str) -> int | None:
    """A value of a file in /proc, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return None


def _left(folder: Path) -> int | None:
    """Bytes that a control group leaves; none without a limit."""
    # Of version 2, and of version 1.
    names = [
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ]
    for limit_name, used_name in names:
        try:
            limit = (folder / limit_name).read_text().strip()
            used = (folder / used_name).read_text().strip()
        except OSError:
            continue
        if limit.isdecimal() and used.isdecimal():
            # The cache of files, which gives way, counts as used: at worst a warning too many.
            return max(0, int(limit) - int(used))
    return None
