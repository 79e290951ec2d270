"""Jobs under Slurm, through submitit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.extras import install_command, require
from mlrepro_cli.launch.engines import attempts
from mlrepro_cli.launch.engines.attempts import AGAIN, SCRIPT, Outcome
from mlrepro_cli.launch.engines.interface import AT_ONCE, Engine
from mlrepro_cli.launch.engines.source import Source, variables_of
from mlrepro_cli.launch.pipeline import Job

# Unless the user says timeout_min.
TIMEOUT_MINUTES = 24 * 60


@contextmanager
def slurm(
    source: Source,
    jobs: int | None,
    options: dict[str, str],
    folder: Path,
    cluster: str = "slurm",
) -> Iterator[tuple[Engine, int]]:
    """jobs: at a time.

    options: submitit's parameters, such as slurm_partition, timeout_min, cpus_per_task.
    folder:  where submitit keeps its files; the nodes must see it.
    cluster: "local" runs the same jobs without Slurm.

    Raises InputError where there is no Slurm, and for parameters that submitit does not know.
    """
    require("slurm", "--engine slurm:")
    executor = _executor(source, options, folder, cluster)
    import submitit

    # A node that is gone, or a job that Slurm has ended: not the stage's own error.
    lost = (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError)
    submitted = []

    def run(job: Job) -> Outcome:
        slurm_job = executor.submit(attempts.attempt, SCRIPT, variables_of(job, source))
        submitted.append(slurm_job)
        print(f"{job.stage}: submitted as job {slurm_job.job_id}", flush=True)
        try:
            return Outcome(*slurm_job.result())
        except lost as error:
            ended = f"error: its job {slurm_job.job_id} ended without a result"
            return Outcome(AGAIN, f"{error}\n{ended}", "")

    try:
        yield run, jobs or AT_ONCE
    finally:
        for slurm_job in submitted:
            if not slurm_job.done():
                slurm_job.cancel()


def _executor(source: Source, options: dict[str, str], folder: Path, cluster: str):
    """submitit's executor, set up."""
    try:
        import cloudpickle
        import submitit

        cloudpickle.register_pickle_by_value(attempts)
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        parameters = {
            "name": "mlrepro",
            "gpus_per_node": source.gpus,
            "timeout_min": TIMEOUT_MINUTES,
        }
        # Numbers are numbers to submitit; from the command line all is text.
        for key, value in options.items():
            parameters[key] = int(value) if value.isdigit() else value
        executor.update_parameters(**parameters)
    except (ImportError, RuntimeError, ValueError, TypeError, NameError) as error:
        raise InputError(
            f"--engine slurm: {error}; {install_command('slurm')}, launch where sbatch is, and "
            "name submitit's parameters with --set"
        ) from None
    return executor
