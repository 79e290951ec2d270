"""Memory that the C library keeps for the next tensor instead of giving it back to the system.

glibc maps every tensor of more than 32 MiB from the system and unmaps it when it is gone, and the
system fills each of its pages with zeros when it is touched first. A network's forward pass on a
CPU makes dozens of those: a tenth to a quarter of the CPU seconds of an extraction went there, and
more on a busy machine (benchmarks/memory.py). Kept, the memory is there at once; a process holds
what it once needed.
"""

import ctypes
import os

# Of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4

MIB = 2**20
KEPT = 2**30  # bytes free at the heap's end that are kept
STEP = 64 * MIB  # that the heap grows by at least

# With these a user says it himself.
OF_THE_USER = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """For this process, from now on; whether it is so.

    Not with another C library than glibc, and not where the environment has settings of its own.
    """
    if any(name in os.environ for name in OF_THE_USER):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False

    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: KEPT, M_TOP_PAD: STEP}
    return all([mallopt(name, value) for name, value in settings.items()])
