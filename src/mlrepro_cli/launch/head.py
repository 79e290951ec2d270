"""The head of a launch: what is stale becomes jobs, and what they made becomes a report."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from mlrepro.errors import InputError
from mlrepro.layout import Layout, read_layouts
from mlrepro.records import Failure, write_failure
from mlrepro.settings.base import read_yaml
from mlrepro.training.checkpoint import exclusive
from mlrepro_cli.launch import engines
from mlrepro_cli.launch.engines import AGAIN, Engine, Outcome, Source, without_password
from mlrepro_cli.launch.pipeline import Job, default_remote, stale_jobs, upstream

PAUSE = 5  # seconds before a second attempt at a job, twice that before the third
GENERATED = re.compile(
    r"(^|/)(results|reports)/|\.lock$"
)  # what stages write into git; jobs do not read the head's


def launch(
    settings: Path,
    engine: str,
    jobs: int | None,
    gpus: int | None,
    attempts: int,
    repository: str | None,
    take_over: bool,
    options: list[str],
) -> int:
    """Runs every stale training and evaluation of a study as a job, then renders its page. Returns 1 if a job failed.

    settings: params.yaml of one pipeline, or of a study whose pipelines lie in the folders below. jobs: at a time. gpus: a job.
    attempts: at each job, where the worker was lost or the remote away; a stage's own error is final. options: KEY=VALUE for the
    engine. Raises InputError before any job is started where the checkout, the remote or the engine is not fit for it.
    """
    layouts = [one for one in read_layouts(settings) if Path(one.dvc_file).is_file()]
    if not layouts:
        raise InputError(f"{settings}: there is no dvc.yaml beside it")
    if engine == "local" and (options or repository or take_over):
        raise InputError(
            "--set, --repository and --take-over are for --engine ray and slurm; local works in this checkout"
        )
    study, parameters = layouts[0].study, dict(option.partition("=")[::2] for option in options)
    log = Path("outputs") / "launch" / study
    log.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(f"launch-{study}"):
            if engine == "local":
                return _launch(layouts, log, attempts, False, engines.local(jobs, gpus))
            source = Source(*_commit(repository), default_remote(), 1 if gpus is None else gpus)
            made = (
                engines.ray(source, jobs, parameters)
                if engine == "ray"
                else engines.slurm(source, jobs, parameters, log / "submitit")
            )
            print(
                without_password(
                    f"jobs check out {source.commit[:12]} of {source.repository}; the DVC remote is "
                    f"{source.remote[1]}"
                ),
                flush=True,
            )
            with _claimed(study, take_over):
                return _launch(layouts, log, attempts, True, made)
    except DvcException as error:  # no repository, a dvc.yaml that is none, another dvc at work
        raise InputError(f"dvc: {error}") from None


def _launch(layouts: list[Layout], log: Path, attempts: int, remote: bool, made) -> int:
    files = [one.dvc_file for one in layouts]
    with made as (engine, slots):  # before anything is run: is there such an engine?
        if shared := upstream(files):
            _dvc(
                "repro", "-k", *["--pull"] * remote, "-s", *shared, check=False
            )  # jobs that lack one of them fail with it
        jobs = [
            job if _reads_pictures(layouts, job) else replace(job, pictures=())
            for job in _restore(files, remote)
        ]
        if remote and (
            done := sorted(
                {one for job in jobs for one in job.shared}
                - {one for job in jobs for one in job.undone}
            )
        ):
            _dvc("push", "-q", "--run-cache", *done)
        print(f"{len(jobs)} jobs", flush=True)
        ends = run_jobs(jobs, engine, slots, attempts, log)
    failed = {stage: outcome for stage, outcome in ends.items() if outcome.error}
    if remote and (
        lost := [job.stage for job in _restore(files, remote) if job.stage not in failed]
    ):
        raise InputError(
            f"{', '.join(lost)}: done, but not to be had from the DVC remote; see that it can be reached and launch "
            "again: what is in it is not trained again"
        )
    for job in jobs:
        if job.stage in failed and not failed.keys() & set(
            job.trained
        ):  # else its training says why there is no record
            layout, run_id, seed = _parse(layouts, job.stage)
            outcome = failed[job.stage]
            write_failure(
                Failure(
                    stage=job.stage,
                    error=outcome.error,
                    host=outcome.host,
                    log=_log(log, job.stage).as_posix(),
                ),
                layout.record(run_id, seed),
            )
    page = layouts[0].folder / "dvc.yaml"  # of a pipeline without one, its study's
    files = list(dict.fromkeys([*files, *[page.as_posix()] * page.is_file()]))
    if not failed:
        _dvc("repro", *files)
        return 0
    _dvc(
        "repro",
        "-s",
        *(f"{file}:report" for file in files if "report" in read_yaml(Path(file))["stages"]),
    )
    lines = [f"  {stage}: {outcome.error}" for stage, outcome in failed.items()]
    print(
        "\n".join(
            [
                f"{len(failed)} jobs failed; their rows say so, and the next launch tries them again:",
                *lines,
            ]
        ),
        file=sys.stderr,
    )
    return 1


def _restore(files: list[str], remote: bool) -> list[Job]:
    """What is stale and in no run cache; the rest is restored from one."""
    try:
        restored, stale = stale_jobs(files, remote)
    except (DvcException, OSError) as error:
        if not remote:
            raise
        raise InputError(
            f"the DVC remote's run cache cannot be read ({error}); see `dvc remote list`"
        ) from None
    if restored:
        print(f"{len(restored)} stages are restored from the run cache", flush=True)
        _dvc("repro", "-q", "-s", *restored)
    return stale


def run_jobs(
    jobs: list[Job], engine: Engine, slots: int, attempts: int, log: Path
) -> dict[str, Outcome]:
    """By stage how its last attempt ended. A job starts when those that it needs are done, and fails with them. `log`: the folder
    for what each stage printed."""
    waiting, running, ends, interrupted = (
        {job.stage: job for job in jobs},
        {},
        {},
        threading.Event(),
    )

    def attempted(job: Job) -> Outcome:
        for n in range(1, attempts + 1):
            start, outcome = time.monotonic(), engine(job)
            _log(log, job.stage).write_text(outcome.output, encoding="utf-8")
            again = outcome.status == AGAIN and n < attempts and not interrupted.is_set()
            how = outcome.error or (
                "done" if job.stage in outcome.ran else "restored from the run cache, not run"
            )
            others = [stage for stage in outcome.ran if stage != job.stage]
            print(
                f"{job.stage}: attempt {n} on {outcome.host or 'a lost host'}, {time.monotonic() - start:.0f} s: {how}"
                + "; trying again" * again
                + f"; there, it had to run {', '.join(others)}" * bool(others),
                flush=True,
            )
            if not again or interrupted.wait(PAUSE * n):
                return outcome

    pool = ThreadPoolExecutor(slots)
    try:
        while waiting or running:
            for stage, job in list(waiting.items()):
                if lacking := [
                    *job.undone,
                    *(need for need in job.trained if need in ends and ends[need].error),
                ]:
                    ends[stage] = Outcome(1, f"error: not started, since {lacking[0]} failed", "")
                    del waiting[stage]
                elif not any(need in waiting or need in running.values() for need in job.trained):
                    running[pool.submit(attempted, waiting.pop(stage))] = stage
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                ends[running.pop(future)] = future.result()
    finally:
        interrupted.set()
        pool.shutdown(wait=False, cancel_futures=True)  # the engine ends what still runs
    return ends


def _commit(repository: str | None) -> tuple[str, str]:
    """(repository, commit) that jobs check out: what they would read must be committed."""
    changed = [
        line[3:]
        for line in _git("status", "--porcelain").splitlines()
        if not GENERATED.search(line[3:])
    ]
    if changed:
        raise InputError(
            f"jobs check out a commit, and {', '.join(changed[:5])}{' ...' * (len(changed) > 5)} differ from it; "
            "commit them, or use --engine local"
        )
    pushed = any(
        line.strip().startswith("origin/")
        for line in _git("branch", "-r", "--contains", "HEAD").splitlines()
    )
    return repository or (
        _git("remote", "get-url", "origin").strip() if pushed else str(Path.cwd())
    ), _git("rev-parse", "HEAD").strip()


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"git {' '.join(words)}: {done.stderr.strip()}; launch from the root of a git checkout"
        )
    return done.stdout


@contextmanager
def _claimed(study: str, take_over: bool) -> Iterator[None]:
    """One head a study and remote: a small file in the remote says whose, without any clock. A head that died in this very
    checkout holds it no more, since that had the launch's lock."""
    own = {
        "host": socket.gethostname(),
        "folder": str(Path.cwd()),
        "pid": os.getpid(),
        "token": secrets.token_hex(8),
    }
    with Repo() as repo:
        remote = repo.cloud.get_remote()
        fs, path = remote.fs, remote.fs.join(remote.path, "mlrepro-launch", f"{study}.json")
    try:
        fs.makedirs(fs.parent(path), exist_ok=True)
        if fs.exists(path):
            other = _claim(fs, path)
            if not take_over and any(other[key] != own[key] for key in ("host", "folder")):
                raise InputError(
                    f"{study}: process {other['pid']} on {other['host']} in {other['folder']} is launching it to "
                    "the same DVC remote; wait for it, or if it is gone, launch with --take-over"
                )
            print(
                f"{study}: taking over from process {other['pid']} on {other['host']}; jobs that it left on a cluster go on, "
                "and unless you cancel them, what they train is trained twice",
                flush=True,
            )
            fs.rm_file(path)
        fs.pipe_file(path, json.dumps(own).encode(), mode="create")
        if _claim(fs, path) != own:  # where a file system knows no mode
            raise FileExistsError
    except FileExistsError:
        raise InputError(
            f"{study}: another head began to launch it at this moment; wait for it"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: the DVC remote cannot be used ({error}); see `dvc remote list` and its room"
        ) from None
    try:
        yield
    finally:
        if fs.exists(path) and _claim(fs, path) == own:  # else another head has taken over
            fs.rm_file(path)


def _claim(fs, path: str) -> dict:
    """A claim; of a head that is not known where its file is none, such as one that was cut off."""
    try:
        claim = json.loads(fs.cat_file(path))
        return {key: claim[key] for key in ("host", "folder", "pid", "token")}
    except (ValueError, TypeError, KeyError):
        return dict.fromkeys(("host", "folder", "pid", "token"), "unknown")


def _dvc(*words: str, check: bool = True) -> None:
    """In this checkout, its output as it comes."""
    folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": os.pathsep.join([str(folder), os.environ.get("PATH", "")])}
    if (
        subprocess.run([folder / "dvc", "--wait-for-lock", *words], env=environment).returncode
        and check
    ):
        raise InputError(f"`dvc {' '.join(words[:3])} ...` failed, see above")


def _parse(layouts: list[Layout], stage: str) -> tuple[Layout, str, int]:
    """Layout, run and seed of `<dvc.yaml>:train@<run>-<seed>`; the root's stages have no file in their address."""
    file, _, name = stage.rpartition(":")
    run_id, _, seed = name.partition("@")[2].rpartition("-")
    return next(one for one in layouts if one.dvc_file == (file or "dvc.yaml")), run_id, int(seed)


def _reads_pictures(layouts: list[Layout], job: Job) -> bool:
    layout, run_id, seed = _parse(layouts, job.stage)
    return layout.run(run_id, seed).inputs == "images"


def _log(folder: Path, stage: str) -> Path:
    return folder / f"{re.sub('[^A-Za-z0-9_-]+', '-', stage)}.log"
