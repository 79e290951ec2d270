"""Jobs in this checkout, on this machine's GPUs or its CPU."""

import os
import queue
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from mlrepro.cores import usable_cores
from mlrepro.errors import InputError
from mlrepro_cli.launch.engines import attempts
from mlrepro_cli.launch.engines.attempts import SCRIPT, Outcome
from mlrepro_cli.launch.engines.interface import Engine
from mlrepro_cli.launch.pipeline import Job


@contextmanager
def local(jobs: int | None, gpus: int | None) -> Iterator[tuple[Engine, int]]:
    """As many jobs at a time as there are groups of `gpus` GPUs, or `jobs` on the CPU.

    jobs on the CPU (none: one) share its threads. gpus: a job; none: one, if there is one.
    Raises InputError where there are fewer GPUs.
    """
    devices = _visible_gpus()
    if gpus is None:
        gpus = min(1, len(devices))
    most = len(devices) // gpus if gpus else jobs or 1
    if gpus > len(devices) or (jobs or 1) > most:
        raise InputError(
            f"--gpus {gpus} --jobs {jobs or 1}: this machine has {len(devices)} GPUs; ask for "
            "fewer, or --gpus 0 for the CPU"
        )

    # A slot is the GPUs that one job has to itself.
    slots = jobs or most
    free: queue.Queue[str] = queue.Queue()
    for slot in range(slots):
        free.put(",".join(devices[slot * gpus : (slot + 1) * gpus]))
    # Jobs at a time share the threads, unless the user says how many each has.
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, usable_cores() // slots)))
    started: list[subprocess.Popen] = []

    def run(job: Job) -> Outcome:
        devices_of_job = free.get()
        variables = {
            "STAGE": job.stage,
            "CUDA_VISIBLE_DEVICES": devices_of_job,
            "OMP_NUM_THREADS": threads,
        }
        try:
            return Outcome(*attempts.attempt(SCRIPT, variables, started))
        finally:
            free.put(devices_of_job)

    try:
        yield run, slots
    finally:
        _interrupt(started)


def _visible_gpus() -> list[str]:
    """The GPUs that the user left to this process, by the names that CUDA_VISIBLE_DEVICES takes."""
    # Imported here, for it takes its time.
    from torch.cuda import device_count

    count = device_count()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    # device_count counts among the chosen ones, and does not count what is no GPU.
    names = chosen.split(",") if chosen else [str(device) for device in range(count)]
    return names[:count]


def _interrupt(processes: list[subprocess.Popen]) -> None:
    """Ends what runs, when the launch is interrupted.

    A training goes on from its checkpoint the next time.
    """
    # In the background of a script SIGINT is ignored, here and so in all that was started here.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    number = signal.SIGTERM if ignored else signal.SIGINT
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, number)
