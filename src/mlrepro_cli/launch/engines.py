"""Where jobs run. An engine is a context that gives a function and how many threads may call it at a time: the function makes one
attempt at one job with job.sh, and blocks until that has ended."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro_cli.launch.pipeline import Job

SCRIPT = Path(__file__).with_name("job.sh").read_text(encoding="utf-8")
AT_ONCE = 64  # jobs on a cluster, which has a queue of its own
AGAIN = 75  # of job.sh


@dataclass
class Outcome:
    """How an attempt ended."""

    status: int
    output: str
    host: str

    @property
    def error(self) -> str | None:
        """The line that says why it failed: the stage's own before DVC's; none if it did not."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()] or [
            "it printed nothing"
        ]
        errors = [
            line
            for line in lines
            if re.match(r"(error|fatal|ERROR|[\w.]+(Error|Exception))\b.*:", line)
        ]
        line = ((errors[-1:] if self.status == AGAIN else errors[:1]) or lines[-1:])[0]
        return (
            without_password(line)[:500] if self.status else None
        )  # it goes into records, which git keeps

    @property
    def ran(self) -> list[str]:
        """The stages that were run, so not restored from the run cache."""
        return re.findall(r"^Running stage '(.+)':$", self.output, re.MULTILINE)


def without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


Engine = Callable[[Job], Outcome]


@dataclass(frozen=True)
class Source:
    """Where jobs on a cluster come from and go to. `remote`: DVC's, name and address; `gpus`: that each must see."""

    repository: str
    commit: str
    remote: tuple[str, str]
    gpus: int


def attempt(
    script: str, variables: dict[str, str], started: list[subprocess.Popen] | None = None
) -> tuple[int, str, str]:
    """An Outcome's values. It is sent by value to workers, which need no mlrepro to be installed. started: takes the process,
    a session of its own, for whoever may have to stop it."""
    folder = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PATH": folder + os.pathsep + os.environ.get("PATH", ""),
        **variables,
    }
    process = subprocess.Popen(
        ["bash", "-c", script],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=started is not None,
    )
    if started is not None:
        started.append(process)
    output, _ = process.communicate()
    return process.returncode, output, socket.gethostname()


def variables_of(job: Job, source: Source) -> dict[str, str]:
    """What job.sh reads."""
    return {
        "REPOSITORY": source.repository,
        "COMMIT": source.commit,
        "REMOTE": source.remote[0],
        "ADDRESS": source.remote[1],
        "GPUS": str(source.gpus),
        "STAGE": job.stage,
        "SHARED": " ".join(job.shared),
        "TRAINED": " ".join(job.trained),
        "PICTURES": " ".join(job.pictures),
        "DATA": job.data,
    }


@contextmanager
def local(jobs: int | None, gpus: int | None) -> Iterator[tuple[Engine, int]]:
    """In this checkout: as many jobs at a time as there are groups of `gpus` GPUs (none: of one), or `jobs` on the CPU, which
    share its threads."""
    from torch.cuda import device_count

    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # then they are counted among these
    devices = (given.split(",") if given else [str(device) for device in range(device_count())])[
        : device_count()
    ]
    gpus = min(1, len(devices)) if gpus is None else gpus
    most = len(devices) // gpus if gpus else jobs or 1
    if gpus > len(devices) or (jobs or 1) > most:
        raise InputError(
            f"--gpus {gpus} --jobs {jobs or 1}: this machine has {len(devices)} GPUs; ask for fewer, or --gpus 0 "
            "for the CPU"
        )
    slots, free, started = jobs or most, queue.Queue(), []
    for slot in range(slots):
        free.put(",".join(devices[slot * gpus : (slot + 1) * gpus]))
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // slots)))

    def run(job: Job) -> Outcome:
        chosen = free.get()
        try:
            variables = {
                "STAGE": job.stage,
                "CUDA_VISIBLE_DEVICES": chosen,
                "OMP_NUM_THREADS": threads,
            }
            return Outcome(*attempt(SCRIPT, variables, started))
        finally:
            free.put(chosen)

    try:
        yield run, slots
    finally:  # when the launch is interrupted; a training goes on from its checkpoint the next time
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)


@contextmanager
def ray(source: Source, jobs: int | None, settings: dict[str, str]) -> Iterator[tuple[Engine, int]]:
    """On a running Ray cluster. `settings`: `address` of its head (default: RAY_ADDRESS, or this machine's), `num_cpus` a job."""
    if unknown := settings.keys() - {"address", "num_cpus"}:
        raise InputError(
            f"--set {', '.join(sorted(unknown))}: the engine ray knows address and num_cpus"
        )
    try:
        cpus = float(settings.get("num_cpus", 1))
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address=settings.get("address", os.environ.get("RAY_ADDRESS", "auto")),
            log_to_driver=False,
        )
    except (ImportError, ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--engine ray: {error}; pip install 'mlrepro[ray]' here and on the nodes, start the cluster with `ray "
            "start --head`, name it with --set address=HOST:6379"
        ) from None
    try:
        if (there := ray.cluster_resources().get("GPU", 0)) < source.gpus:
            raise InputError(
                f"--gpus {source.gpus}: the Ray cluster has {there:g}; see `ray status`, or launch with --gpus 0"
            )
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        # a lost worker is for the head to see: it says so and starts the job again
        remote = ray.remote(num_cpus=cpus, num_gpus=source.gpus, max_retries=0)(attempt)

        def run(job: Job) -> Outcome:
            try:
                return Outcome(*ray.get(remote.remote(SCRIPT, variables_of(job, source))))
            except ray.exceptions.RayError as error:
                return Outcome(
                    AGAIN, f"{error}\nerror: its worker was lost ({type(error).__name__})", ""
                )

        yield run, jobs or AT_ONCE
    finally:
        ray.shutdown()


@contextmanager
def slurm(
    source: Source, jobs: int | None, settings: dict[str, str], folder: Path, cluster: str = "slurm"
) -> Iterator[tuple[Engine, int]]:
    """Under Slurm, through submitit, which keeps its files in `folder`, that the nodes must see. `settings`: submitit's, such as
    slurm_partition, timeout_min, cpus_per_task. `cluster`: "local" runs the same jobs without Slurm."""
    submitted = []
    try:
        import cloudpickle
        import submitit

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        numbers = {key: int(value) if value.isdigit() else value for key, value in settings.items()}
        executor.update_parameters(
            **{"name": "mlrepro", "gpus_per_node": source.gpus, "timeout_min": 24 * 60} | numbers
        )
    except (ImportError, RuntimeError, ValueError, TypeError, NameError) as error:
        raise InputError(
            f"--engine slurm: {error}; pip install 'mlrepro[slurm]', launch where sbatch is, and name submitit's "
            "parameters with --set"
        ) from None

    def run(job: Job) -> Outcome:
        submitted.append(sent := executor.submit(attempt, SCRIPT, variables_of(job, source)))
        print(f"{job.stage}: submitted as job {sent.job_id}", flush=True)
        try:
            return Outcome(*sent.result())
        except (
            submitit.core.utils.UncompletedJobError,
            submitit.core.utils.FailedJobError,
        ) as error:
            return Outcome(
                AGAIN, f"{error}\nerror: its job {sent.job_id} ended without a result", ""
            )

    try:
        yield run, jobs or AT_ONCE
    finally:
        for sent in submitted:
            if not sent.done():
                sent.cancel()
