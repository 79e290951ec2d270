"""What of a study is stale, by DVC's own account, and what its stages need."""

from collections.abc import Iterable

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported

from mlrepro.errors import InputError
from mlrepro.launch.worker import Job

JOBS = ("train@", "evaluate@")


def upstream(dvc_files: Iterable[str]) -> list[str]:
    """The stages that trainings and evaluations share, in order: from download to features."""
    with Repo() as repo:
        jobs, graph = _jobs(repo, dvc_files), repo.index.graph
        return [stage.addressing for stage in plan_repro(graph, jobs) if not stage.name.startswith(JOBS)]


def remote_of() -> tuple[str, str]:
    """Name and address of DVC's default remote, a folder's made absolute."""
    with Repo() as repo:
        name = repo.config["core"].get("remote")
        url = repo.config["remote"].get(name, {}).get("url") if name else None
    if not url:
        raise InputError(".dvc/config: jobs on a cluster share a DVC remote, and there is no default one; "
                         "dvc remote add -d storage FOLDER (or s3://..., ssh://...)")
    if url.startswith("http"):
        raise InputError(f".dvc/config: the remote {name} is {url}, and DVC keeps no run cache over http; choose another kind")
    return name, url


def stale_jobs(dvc_files: Iterable[str], pull: bool) -> tuple[list[str], list[Job]]:
    """(stages restored from the run cache, trainings and evaluations that must run, trainings before their evaluations).
    pull: look into the remote's run cache, too. The stages that they share must be done."""
    restored, pending = [], {}
    with Repo() as repo, repo.lock:
        if pull:
            try:
                repo.stage_cache.pull(None)
            except (DvcException, RunCacheNotSupported, OSError) as error:
                raise InputError(f"the DVC remote's run cache cannot be read ({error}); see `dvc remote list`") from None
        graph = repo.index.graph
        for stage in plan_repro(graph, _jobs(repo, dvc_files)):
            needs = plan_repro(graph, [stage])[:-1]
            if not stage.name.startswith(JOBS) or not (waits := any(one.addressing in pending for one in needs)
                                                       ) and not stage.changed():
                continue
            if not waits and _restored(repo, stage, pull):
                restored.append(stage.addressing)
                continue
            pictures = [one for one in needs if one.name.startswith(("download", "prepare"))]
            outs = [out.def_path for one in pictures for out in one.outs]
            manifest = next((path for path in outs if path.endswith("manifest.parquet")), "")
            pending[stage.addressing] = Job(stage.addressing, tuple(one.addressing for one in needs),
                                            tuple(one.addressing for one in pictures), manifest.rpartition("/")[0])
    return restored, list(pending.values())


def _jobs(repo: Repo, dvc_files: Iterable[str]) -> list:
    return [stage for file in dvc_files for stage in repo.stage.collect(file) if stage.name.startswith(JOBS)]


def _restored(repo: Repo, stage, pull: bool) -> bool:
    try:
        repo.stage_cache.restore(stage, pull=pull)
    except (RunCacheNotFoundError, DvcException):
        return False
    return True
