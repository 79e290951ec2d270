"""Where jobs run. An engine is a context that gives a function: it blocks until an attempt at one job has ended and is called
from as many threads as jobs may run at a time."""

import os
import queue
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.launch import worker
from mlrepro.launch.worker import Job, Outcome, Source, attempt, repro

Engine = Callable[[Job], Outcome]
AT_ONCE = 64  # jobs on a cluster, which has a queue of its own


@contextmanager
def local(jobs: int | None, gpus: int | None) -> Iterator[tuple[Engine, int]]:
    """In this checkout: as many jobs at a time as there are groups of `gpus` GPUs (none: of one), or `jobs` on the CPU, which
    share its threads."""
    from torch.cuda import device_count
    devices = list(map(str, range(device_count())))
    gpus = min(1, len(devices)) if gpus is None else gpus
    if gpus > len(devices):
        raise InputError(f"--gpus {gpus}: this machine has {len(devices)}; ask for fewer, or --gpus 0 for the CPU")
    slots = len(devices) // gpus if gpus else jobs or 1
    if jobs and jobs > slots:
        raise InputError(f"--jobs {jobs}: {len(devices)} GPUs make {slots} jobs of {gpus} at a time; ask for at most that")
    slots, free = jobs or slots, queue.Queue()
    for slot in range(slots):
        free.put(",".join(devices[slot * gpus:(slot + 1) * gpus]))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // slots)))

    def run(job: Job) -> Outcome:
        chosen = free.get()
        try:
            environment = os.environ | {"PATH": path, "CUDA_VISIBLE_DEVICES": chosen, "OMP_NUM_THREADS": threads}
            return attempt(lambda outcome: repro(outcome, Path.cwd(), environment, job.stage), job.stage)
        finally:
            free.put(chosen)
    yield run, slots


@contextmanager
def ray(source: Source, jobs: int | None, settings: dict[str, str]) -> Iterator[tuple[Engine, int]]:
    """On a running Ray cluster. `settings`: `address` of its head (default: RAY_ADDRESS, or this machine's), `num_cpus` a job."""
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray: Ray is not installed; pip install 'mlrepro[ray]', here and on the nodes") from None
    if unknown := sorted(settings.keys() - {"address", "num_cpus"}):
        raise InputError(f"--set {unknown[0]}: unknown to the engine ray; it has address and num_cpus")
    try:
        ray.init(address=settings.get("address") or os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False)
    except (ConnectionError, RuntimeError) as error:
        raise InputError(f"--engine ray: no cluster there ({error}); start one with `ray start --head`, or name it with "
                         "--set address=HOST:6379") from None
    try:
        if source.gpus and ray.cluster_resources().get("GPU", 0) < source.gpus:
            raise InputError(f"--gpus {source.gpus}: the Ray cluster has {ray.cluster_resources().get('GPU', 0):g}; see `ray "
                             "status`, or launch with --gpus 0")
        ray.cloudpickle.register_pickle_by_value(worker)
        # a lost worker is for the head to see: it says so and starts the job again
        remote = ray.remote(num_cpus=float(settings.get("num_cpus", 1)), num_gpus=source.gpus, max_retries=0)(worker.work)

        def run(job: Job) -> Outcome:
            try:
                return ray.get(remote.remote(job, source))
            except ray.exceptions.RayError as error:
                return Outcome(f"its worker was lost ({type(error).__name__})", again=True, output=str(error))
        yield run, jobs or AT_ONCE
    finally:
        ray.shutdown()


@contextmanager
def slurm(source: Source, jobs: int | None, settings: dict[str, str], folder: Path,
          cluster: str = "slurm") -> Iterator[tuple[Engine, int]]:
    """Under Slurm, through submitit, which keeps its files in `folder`; the nodes must see it. `settings`: submitit's parameters,
    such as slurm_partition, timeout_min, cpus_per_task. `cluster`: "local" runs the same jobs without Slurm."""
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise InputError("--engine slurm: submitit is not installed; pip install 'mlrepro[slurm]'") from None
    cloudpickle.register_pickle_by_value(worker)
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        numbers = {key: int(value) if value.isdigit() else value for key, value in settings.items()}
        executor.update_parameters(**{"name": "mlrepro", "gpus_per_node": source.gpus, "timeout_min": 24 * 60} | numbers)
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        raise InputError(f"--engine slurm: {error}; launch where sbatch is, and name submitit's parameters with --set") from None
    submitted = []

    def run(job: Job) -> Outcome:
        sent = executor.submit(worker.work, job, source)
        submitted.append(sent)
        print(f"{job.stage}: submitted as job {sent.job_id}", flush=True)
        try:
            return sent.result()
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
            return Outcome(f"its job {sent.job_id} ended without a result", again=True, output=str(error))
    try:
        yield run, jobs or AT_ONCE
    except BaseException:
        for sent in submitted:
            if not sent.done():
                sent.cancel()
        raise
