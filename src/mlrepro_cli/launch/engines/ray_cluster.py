"""Jobs on a running Ray cluster."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlrepro.errors import InputError
from mlrepro.extras import install_command, require
from mlrepro_cli.launch.engines import attempts
from mlrepro_cli.launch.engines.attempts import AGAIN, SCRIPT, Outcome
from mlrepro_cli.launch.engines.interface import AT_ONCE, Engine
from mlrepro_cli.launch.engines.source import Source, variables_of
from mlrepro_cli.launch.pipeline import Job

OPTIONS = {"address", "num_cpus"}


@contextmanager
def ray(source: Source, jobs: int | None, options: dict[str, str]) -> Iterator[tuple[Engine, int]]:
    """jobs: at a time.

    options: `address` of the cluster's head (default: RAY_ADDRESS, or this machine's), `num_cpus` a
    job. Raises InputError for others, and where there is no such cluster.
    """
    unknown = options.keys() - OPTIONS
    if unknown:
        raise InputError(
            f"--set {', '.join(sorted(unknown))}: the engine ray knows address and num_cpus"
        )
    require("ray", "--engine ray:")
    cpus = _connect(options)

    import ray

    try:
        gpus = ray.cluster_resources().get("GPU", 0)
        if gpus < source.gpus:
            raise InputError(
                f"--gpus {source.gpus}: the Ray cluster has {gpus:g}; see `ray status`, or launch "
                "with --gpus 0"
            )
        ray.cloudpickle.register_pickle_by_value(attempts)
        # A lost worker is for the head to see: it says so and starts the job again.
        task = ray.remote(num_cpus=cpus, num_gpus=source.gpus, max_retries=0)(attempts.attempt)

        def run(job: Job) -> Outcome:
            try:
                return Outcome(*ray.get(task.remote(SCRIPT, variables_of(job, source))))
            except ray.exceptions.RayError as error:
                lost = f"error: its worker was lost ({type(error).__name__})"
                return Outcome(AGAIN, f"{error}\n{lost}", "")

        yield run, jobs or AT_ONCE
    finally:
        ray.shutdown()


def _connect(options: dict[str, str]) -> float:
    """Connects to the cluster and returns how many CPUs a job takes."""
    try:
        cpus = float(options.get("num_cpus", 1))
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = options.get("address", os.environ.get("RAY_ADDRESS", "auto"))
        ray.init(address=address, log_to_driver=False)
    except (ImportError, ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--engine ray: {error}; {install_command('ray')} here and on the nodes, start the "
            "cluster with `ray start --head`, name it with --set address=HOST:6379"
        ) from None
    return cpus
