"""How many cores this process may use: affinity, control groups, and what its user says.

OMP_NUM_THREADS is a limit: torchrun, `mlrepro launch` and users set it where processes share a
machine.
"""

import os
from pathlib import Path

CORES = Path("/sys/devices/system/cpu")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def worker_threads() -> int:
    """For work of which a thread a core is enough, such as hashing and decoding files."""
    return within_limit(usable_cores())


def within_limit(threads: int) -> int:
    limit = limit_of_user()
    return min(threads, limit) if limit else threads


def limit_of_user() -> int | None:
    """OMP_NUM_THREADS, of which the first number counts; none where it is unset or no number."""
    first, _, _ = os.environ.get("OMP_NUM_THREADS", "").partition(",")
    return int(first) if first.strip().isdecimal() and int(first) else None


def usable_cores() -> int:
    """Physical cores that this process may use, as affinity and control groups have it."""
    return _within_quota(physical_cores(_own_processors()))


def usable_processors() -> int:
    """The same with hyperthreads, for processes that wait for a disk now and then."""
    return _within_quota(len(_own_processors()))


def _within_quota(count: int) -> int:
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, int(quota)))


def _own_processors() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def physical_cores(processors: set[int]) -> int:
    """Two processors may be the hyperthreads of one core."""
    return len({_siblings(processor) for processor in processors})


def _siblings(processor: int) -> str:
    """What names the core of a processor; the processor itself where the kernel does not say."""
    path = CORES / f"cpu{processor}" / "topology" / "thread_siblings_list"
    try:
        return path.read_text().strip()
    except OSError:
        return str(processor)


# ---- Control groups ----------------------------------------------------------------------------


def cpu_quota() -> float | None:
    """Processors' worth of time that containers and batch systems grant; none without a limit."""
    quotas = [quota for folder in own_folders("cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def own_folders(controller: str) -> list[Path]:
    """Those of this process and the ones above them, of both versions of control groups."""
    folders = []
    for hierarchy, path in _own_cgroups(controller):
        root = CGROUPS / hierarchy
        own = root / path.lstrip("/")
        folders += [own, *own.parents[: len(own.relative_to(root).parts)]]
    # Inside a container the path may be the host's, and the limit stands in the root.
    return list(dict.fromkeys([*folders, CGROUPS, CGROUPS / controller]))


def _own_cgroups(controller: str) -> list[tuple[str, str]]:
    """Folder of the hierarchy below CGROUPS, "" of version 2, and this process's path in it."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    entries = [line.split(":", 2) for line in lines]
    return [
        (controllers, path)
        for _, controllers, path in entries
        if not controllers or controller in controllers.split(",")
    ]


def _quota(folder: Path) -> float | None:
    """Of one control group; version 2 has one file, version 1 two."""
    try:
        if (folder / "cpu.max").is_file():
            granted, period = (folder / "cpu.max").read_text().split()
        else:
            granted = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return None
    # "max" and -1: no limit.
    return int(granted) / int(period) if granted.isdecimal() else None
