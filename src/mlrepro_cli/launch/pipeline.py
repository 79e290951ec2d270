"""What DVC knows of a study's stages: which are stale, what they need, what the run cache holds.

Which stages become jobs, and which of the others make pictures, is told by their names, here alone.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from dvc.exceptions import ConfirmRemoveError, DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError

# How the names of stages begin that become jobs. All else that these need, jobs share.
JOB_STAGES = ("train@", "evaluate@")
# How the names of stages begin that make a data set's pictures.
PICTURE_STAGES = ("download", "prepare")
# The file that these stages write into the folder of the pictures.
MANIFEST = "manifest.parquet"


@dataclass(frozen=True)
class Job:
    """One train or evaluate stage, by its address (`studies/x/dvc.yaml:train@run-0`).

    So are the others:

    shared:   the stages that it needs and that all jobs share.
    undone:   which of what it needs is not done.
    trained:  the trainings that it needs.
    pictures: the stages that make the pictures in the folder `data`, if it reads them.
    """

    stage: str
    shared: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    data: str = ""


def default_remote() -> tuple[str, str]:
    """Name and address of DVC's default remote, a folder's made absolute.

    Raises InputError where there is none, or one that keeps no run cache.
    """
    with Repo() as repo:
        name = repo.config["core"].get("remote")
        url = repo.config["remote"].get(name, {}).get("url", "")
    if not url or url.startswith("http"):
        raise InputError(
            ".dvc/config: jobs on a cluster share a DVC remote, and the default "
            f"one is {without_secrets(url) or 'not set'}; name a folder, s3://..., ssh://... (over "
            "http DVC keeps no run cache): dvc remote add -d storage ADDRESS"
        )
    return name, url


def upstream(dvc_files: Iterable[str]) -> list[str]:
    """The stages that trainings and evaluations share, in order: from download to features."""
    with Repo() as repo, repo.lock:
        stages = _plan(repo, dvc_files)
        return [stage.addressing for stage in stages if not _is_job(stage)]


def stale_jobs(dvc_files: Iterable[str], pull: bool) -> tuple[list[str], list[Job]]:
    """The stages that the run cache restores, and the jobs that must run, both in order.

    pull: look into the remote's run cache, too. The stages that jobs share should be done: a job
    for which they are not waits, whatever the run cache holds.
    """
    # Stages come in order: what one needs has been looked at before.
    restored: list[str] = []
    undone: list[str] = []
    pending: dict[str, Job] = {}
    with Repo() as repo, repo.lock:
        # The entries of the remote's run cache, without the outputs that they name.
        if pull:
            repo.stage_cache.pull(None)

        for stage in _plan(repo, dvc_files):
            address = stage.addressing
            if not _is_job(stage):
                if _is_undone(stage):
                    undone.append(address)
                continue

            # All that it needs, without itself, which is the last.
            needs = plan_repro(repo.index.graph, [stage])[:-1]
            waits = any(need.addressing in pending or need.addressing in undone for need in needs)
            if not waits and not stage.changed():
                continue
            if not waits and _restore(repo, stage, pull):
                # Its outputs are there; dvc.lock may not say so yet.
                if stage.changed():
                    restored.append(address)
                continue
            pending[address] = _job(address, needs, undone)
    return restored, list(pending.values())


def push(address: str) -> None:
    """Sends a stage's outputs and its entry of the run cache to the remote.

    Not `dvc push`: it leaves out records, which git keeps, for whose sake DVC leaves their stages
    out of the run cache, and it sends the entry before what that names.
    """
    with Repo() as repo:
        with repo.lock:
            [stage] = repo.stage.collect(address)
            repo.stage_cache.save(stage)
            # Outputs that git keeps, which `dvc push` leaves out.
            records = {out.hash_info for out in stage.outs if not out.use_cache}
            if records and repo.cloud.push(records).failed:
                sys.exit("error: the record was not pushed")

        # Outputs first: an entry in the remote must not name what is not there.
        repo.push(targets=[address])
        repo.stage_cache.push(None)


def restore(address: str) -> None:
    """Restores a stage's outputs from the run cache, the remote's too; exits where it cannot."""
    with Repo() as repo, repo.lock:
        [stage] = repo.stage.collect(address)
        try:
            repo.stage_cache.restore(stage, pull=True)
        except RunCacheNotFoundError as error:
            sys.exit(f"error: {error}")


def _plan(repo: Repo, dvc_files: Iterable[str]) -> list[Stage]:
    """Trainings, evaluations and all that they need, in order."""
    stages = [stage for file in dvc_files for stage in repo.stage.collect(file)]
    jobs = [stage for stage in stages if _is_job(stage)]
    return plan_repro(repo.index.graph, jobs) if jobs else []


def _is_job(stage: Stage) -> bool:
    return stage.name.startswith(JOB_STAGES)


def _is_undone(stage: Stage) -> bool:
    # One that looks at a user's pictures runs each time; it has been done when its outputs are.
    return stage.changed_outs() if stage.always_changed else stage.changed()


def _job(address: str, needs: list[Stage], undone: list[str]) -> Job:
    """The job of a stage that needs the stages `needs`."""
    makers = [need for need in needs if need.name.startswith(PICTURE_STAGES)]
    return Job(
        stage=address,
        shared=tuple(need.addressing for need in needs if not _is_job(need)),
        undone=tuple(need.addressing for need in needs if need.addressing in undone),
        trained=tuple(need.addressing for need in needs if _is_job(need)),
        pictures=tuple(maker.addressing for maker in makers),
        data=_picture_folder(makers),
    )


def _picture_folder(makers: list[Stage]) -> str:
    """The folder of the manifest that these stages write; "" if none does."""
    for maker in makers:
        for out in maker.outs:
            folder, _, name = out.def_path.rpartition("/")
            if name == MANIFEST:
                return folder
    return ""


def _restore(repo: Repo, stage: Stage, pull: bool) -> bool:
    """Whether the run cache has the stage's outputs, which then lie in their places."""
    try:
        repo.stage_cache.restore(stage, pull=pull)
    except ConfirmRemoveError:
        # The outputs are in the run cache. In their place lies the record of an earlier training,
        # which is removed, as before a stage is run. The stage is read anew, for by now it has new
        # digests of dependencies and old ones of outputs.
        stage.remove_outs(force=True)
        repo.stage_cache.restore(stage.reload())
    except DvcException:
        return False
    return True


if __name__ == "__main__":  # in job.sh
    command, stage_address = sys.argv[1:]
    if command == "push":
        push(stage_address)
    elif command == "restore":
        restore(stage_address)
    else:
        sys.exit(f"error: {command}: neither push nor restore")
