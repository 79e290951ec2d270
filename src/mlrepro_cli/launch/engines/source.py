"""What a job on a cluster is told."""

from dataclasses import dataclass

from mlrepro_cli.launch.pipeline import Job


@dataclass(frozen=True)
class Source:
    """Where jobs on a cluster come from and go to.

    repository, commit: that they check out.
    remote: DVC's, its name and address.
    gpus:   that each job must see.
    """

    repository: str
    commit: str
    remote: tuple[str, str]
    gpus: int


def variables_of(job: Job, source: Source) -> dict[str, str]:
    """The variables that job.sh reads."""
    remote_name, remote_address = source.remote
    return {
        "REPOSITORY": source.repository,
        "COMMIT": source.commit,
        "REMOTE": remote_name,
        "ADDRESS": remote_address,
        "GPUS": str(source.gpus),
        "STAGE": job.stage,
        "SHARED": " ".join(job.shared),
        "TRAINED": " ".join(job.trained),
        "PICTURES": " ".join(job.pictures),
        "DATA": job.data,
    }
