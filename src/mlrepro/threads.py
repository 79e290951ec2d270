"""How many threads a run computes with.

A setting of the run file (`threads`), not a variable of the shell. Runs on features and captions
have operations so short that a second thread only waits: they take one, and so give the same bits
on every machine. Networks take a thread a core, and their sums round as the number of cores has it.
"""

import torch

from mlrepro.cores import usable_cores, within_limit, worker_threads
from mlrepro.settings.run import Run

# What computes long enough to be divided.
OF_NETWORKS = ("maps", "images")


def use_threads(run: Run) -> None:
    """Has torch compute with the threads of a run from now on; call it before anything is drawn."""
    torch.set_num_threads(threads_of(run))


def threads_of(run: Run) -> int:
    """Those that the run file says, or else the default of its kind; never above the limit."""
    threads = run.threads
    if threads is None:
        threads = usable_cores() if run.inputs in OF_NETWORKS else 1
    return within_limit(threads)


def threads_of_search() -> int:
    """A stack of a search a core, whatever runs this process has computed with before."""
    return worker_threads()
