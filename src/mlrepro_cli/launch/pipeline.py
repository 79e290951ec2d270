"""What DVC knows of a study's stages: which are stale, what they need, and what the remote's run cache holds."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from dvc.exceptions import ConfirmRemoveError, DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage.cache import RunCacheNotFoundError

from mlrepro.errors import InputError


@dataclass(frozen=True)
class Job:
    """One train or evaluate stage, by its address (`studies/x/dvc.yaml:train@run-0`), as are the others: what it needs of the
    stages that all share, which of these are not done, and of trainings; those that make the pictures in the folder `data`, if
    it reads them."""

    stage: str
    shared: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    data: str = ""


def default_remote() -> tuple[str, str]:
    """Name and address of DVC's default remote, a folder's made absolute."""
    with Repo() as repo:
        name = repo.config["core"].get("remote")
        url = repo.config["remote"].get(name, {}).get("url", "")
    if not url or url.startswith("http"):
        raise InputError(
            f".dvc/config: jobs on a cluster share a DVC remote, and the default one is {url or 'not set'}; name a "
            "folder, s3://..., ssh://... (over http DVC keeps no run cache): dvc remote add -d storage ADDRESS"
        )
    return name, url


def upstream(dvc_files: Iterable[str]) -> list[str]:
    """The stages that trainings and evaluations share, in order: from download to features."""
    with Repo() as repo, repo.lock:
        return [stage.addressing for stage in _plan(repo, dvc_files) if not _is_job(stage)]


def stale_jobs(dvc_files: Iterable[str], pull: bool) -> tuple[list[str], list[Job]]:
    """(stages restored from the run cache, trainings and evaluations that must run, in order). pull: look into the remote's run
    cache, too. The stages that they share should be done."""
    restored, pending = [], {}
    with Repo() as repo, repo.lock:
        if pull:
            repo.stage_cache.pull(None)
        undone = []
        for stage in _plan(repo, dvc_files):
            if not _is_job(stage):
                undone += [stage.addressing] * stage.changed()
                continue
            needs = plan_repro(repo.index.graph, [stage])[:-1]
            waits = any(one.addressing in [*pending, *undone] for one in needs)
            if not waits and (not stage.changed() or _restored(repo, stage, pull)):
                restored += [stage.addressing] * stage.changed()
                continue
            makers = [one for one in needs if one.name.startswith(("download", "prepare"))]
            outs = [out.def_path for one in makers for out in one.outs]
            pending[stage.addressing] = Job(
                stage.addressing,
                tuple(one.addressing for one in needs if not _is_job(one)),
                tuple(one.addressing for one in needs if one.addressing in undone),
                tuple(one.addressing for one in needs if _is_job(one)),
                tuple(one.addressing for one in makers),
                next((path for path in outs if path.endswith("manifest.parquet")), "").rpartition(
                    "/"
                )[0],
            )
    return restored, list(pending.values())


def _is_job(stage) -> bool:
    return stage.name.startswith(("train@", "evaluate@"))


def _plan(repo: Repo, dvc_files: Iterable[str]) -> list:
    """Trainings, evaluations and all that they need, in order."""
    jobs = [stage for file in dvc_files for stage in repo.stage.collect(file) if _is_job(stage)]
    return plan_repro(repo.index.graph, jobs) if jobs else []


def _restored(repo: Repo, stage, pull: bool) -> bool:
    try:
        repo.stage_cache.restore(stage, pull=pull)
    except (
        ConfirmRemoveError
    ):  # by then it is known to be there; in its place lies the record of an earlier training
        stage.remove_outs(force=True)  # as before a stage is run
        repo.stage_cache.restore(
            stage.reload()
        )  # for by now it has new digests of dependencies and old ones of outputs
    except DvcException:
        return False
    return True


def push(address: str) -> None:
    """A stage's outputs and its entry of the run cache. Not `dvc push`: it leaves out records, which git keeps, for whose sake
    DVC leaves their stages out of the run cache, and it sends the entry before what that names."""
    with Repo() as repo:
        with repo.lock:
            [stage] = repo.stage.collect(address)
            repo.stage_cache.save(stage)
            records = {out.hash_info for out in stage.outs if not out.use_cache}
            if records and repo.cloud.push(records).failed:
                sys.exit("error: the record was not pushed")
        repo.push(targets=[address])
        repo.stage_cache.push(None)


def restore(address: str) -> None:
    with Repo() as repo, repo.lock:
        [stage] = repo.stage.collect(address)
        try:
            repo.stage_cache.restore(stage, pull=True)
        except RunCacheNotFoundError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":  # in job.sh
    {"push": push, "restore": restore}[sys.argv[1]](sys.argv[2])
