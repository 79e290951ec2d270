"""What a worker on a cluster does with one stage. It shares nothing with the head but the git repository and the DVC remote, and
needs nothing of this package: the module is sent by value and uses the standard library alone.

On its machine it keeps, below MLREPRO_WORK (default ~/.cache/mlrepro): a checkout a stage until that stage is pushed, so that a
retry goes on from its checkpoint; one DVC cache, from which a stage that was trained but not pushed is restored; and pictures.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PUSHES, BACKOFF = 5, 2.0  # tries of what needs the network; seconds before the second, doubled each time
RAN = re.compile(r"^Running stage '(.+)':$", re.MULTILINE)
COUNT_GPUS = "import torch; print(torch.cuda.device_count())"
SETTINGS = """[core]
    remote = {0}
[cache]
    dir = "{cache}"
['remote "{0}"']
    url = "{1}"
"""
RESTORE = """
import sys
from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError
with Repo() as repo, repo.lock:
    [stage] = repo.stage.collect(sys.argv[1])
    try:
        repo.stage_cache.restore(stage, pull=True)
    except RunCacheNotFoundError:
        sys.exit(f"error: {sys.argv[1]} is done and not in the DVC remote; see that the remote can be reached")
"""
PUSH = """
import sys
from dvc.repo import Repo
with Repo() as repo:
    with repo.lock:
        [stage] = repo.stage.collect(sys.argv[1])
        repo.stage_cache.save(stage)
        records = {out.hash_info for out in stage.outs if not out.use_cache}
        if records and repo.cloud.push(records).failed:
            sys.exit("error: the record was not pushed")
    repo.push(targets=sys.argv[1:])
    repo.stage_cache.push(None)
"""  # not `dvc push`: it leaves out records, which git keeps, and for their sake DVC leaves their stages out of the run cache


@dataclass(frozen=True)
class Source:
    """Where jobs come from and go to. `remote`: name and address in DVC's settings; `gpus`: that each job must see."""

    repository: str
    commit: str
    remote: tuple[str, str]
    gpus: int


@dataclass(frozen=True)
class Job:
    """One train or evaluate stage, by its address (`studies/x/dvc.yaml:train@run-0`), as are the others. `upstream`: all that it
    needs, in order; `pictures`: the download and prepare stages of the pictures that it reads, if any; `data`: their folder."""

    stage: str
    upstream: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    data: str = ""


@dataclass
class Outcome:
    """How an attempt ended. `again`: another attempt may end better, since it is not the stage's own error. `ran`: the stages
    whose commands ran, so those that were not restored from the run cache."""

    error: str | None = None
    again: bool = False
    ran: list[str] = field(default_factory=list)
    output: str = ""
    host: str = ""
    seconds: float = 0.0  # by this machine's monotonic clock


class Stopped(Exception):
    """A command failed; `again` as in Outcome."""

    def __init__(self, error: str, again: bool):
        super().__init__(error)
        self.again = again


def attempt(do, stage: str) -> Outcome:
    """Calls do(outcome) and tells how it ended; any error is part of the outcome."""
    outcome, start = Outcome(host=socket.gethostname()), time.monotonic()
    try:
        do(outcome)
    except Stopped as stopped:
        outcome.error, outcome.again = str(stopped), stopped.again
    except Exception as error:  # the head must be told, whatever it is
        outcome.error, outcome.again = f"{type(error).__name__}: {error}", True
    outcome.ran, outcome.seconds = RAN.findall(outcome.output), time.monotonic() - start
    return outcome


def command(outcome: Outcome, folder: Path, environment: dict[str, str], *words: str, again: bool = True) -> str:
    """Runs it in `folder` and returns what it printed, which the outcome keeps too. again: for Stopped, if it fails."""
    done = subprocess.run(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    named = " ".join(words).partition("\n")[0]
    outcome.output += f"$ {named}\n{done.stdout}"
    if done.returncode:
        raise Stopped(f"`{named[:80]}` failed: {reason(done.stdout)}", again)
    return done.stdout


def reason(output: str) -> str:
    """The line of a failed command's output that says why: the stage's own error before DVC's."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(error|fatal|ERROR|usage|[\w.]+(Error|Exception))\b.*:", line)]
    return next(iter(errors), lines[-1] if lines else "it printed nothing")[:500]


def repro(outcome: Outcome, folder: Path, environment: dict[str, str], *words: str) -> None:
    """`dvc repro -s`. That a lock is held, or that a stage was killed by a signal, is no error of the stage's own."""
    try:
        command(outcome, folder, environment, "dvc", "--wait-for-lock", "repro", "-s", *words, again=False)
    except Stopped as stopped:
        said = outcome.output.rpartition("\n$ ")[2]
        raise Stopped(str(stopped), bool(re.search(r"exited with -\d+|Unable to acquire lock", said))) from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock file `path`; waits while another process of this machine does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def work(job: Job, source: Source) -> Outcome:
    """Checks the commit out, pulls what the stage needs, runs the stage, pushes its outputs and its entry of the run cache."""
    node = Path(os.environ.get("MLREPRO_WORK") or Path.home() / ".cache" / "mlrepro").absolute()
    folder = node / "checkouts" / f"{source.commit[:12]}-{re.sub('[^A-Za-z0-9_-]+', '-', job.stage)}"

    def do(outcome: Outcome) -> None:
        with alone(folder.with_name(folder.name + ".lock")):
            environment = check_out(outcome, folder, node, source)
            if source.gpus:
                seen = command(outcome, folder, environment, sys.executable, "-c", COUNT_GPUS).split()[-1]
                if int(seen) < source.gpus:
                    raise Stopped(f"this worker sees {seen} GPUs and the launch asked for {source.gpus}; see that its node has "
                                  "them and that its torch can use them, or launch with --gpus 0", True)
            trainings = [stage for stage in job.upstream if re.search(r"(^|:)train@", stage)]
            if shared := [stage for stage in job.upstream if stage not in trainings]:
                repro(outcome, folder, environment, "--pull", *shared)
            for stage in trainings:  # never trained here: a remote that is away must not cost a second training
                command(outcome, folder, environment, sys.executable, "-c", RESTORE, stage)
            if job.pictures:
                with alone(node / "pictures" / f"{Path(job.data).name}.lock"):
                    fetch_pictures(outcome, folder, environment, node, job)
            repro(outcome, folder, environment, job.stage)
            push(outcome, folder, environment, job.stage)
            shutil.rmtree(folder)
    return attempt(do, job.stage)


def check_out(outcome: Outcome, folder: Path, node: Path, source: Source) -> dict[str, str]:
    """Clones the repository at the commit, with the remote and this machine's cache in its settings. Returns the environment of
    commands in it: the checkout's own package, not an installed one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src"), "GIT_TERMINAL_PROMPT": "0"}
    if "MLFLOW_TRACKING_URI" not in environment:
        environment["MLREPRO_TRACKING"] = "none"  # a store in this folder would be gone with it
    if not folder.exists():
        clone = folder.with_name(folder.name + ".partial")
        shutil.rmtree(clone, ignore_errors=True)
        command(outcome, folder.parent, environment, "git", "clone", "-q", source.repository, str(clone))
        command(outcome, clone, environment, "git", "checkout", "-q", "--detach", source.commit)
        (clone / ".dvc" / "config.local").write_text(SETTINGS.format(*source.remote, cache=node / "cache"), encoding="utf-8")
        clone.rename(folder)
    return environment


def fetch_pictures(outcome: Outcome, folder: Path, environment: dict[str, str], node: Path, job: Job) -> None:
    """Pictures are no outputs of DVC: a restored manifest comes without. They are made once a machine and manifest, by the
    data set's own download and prepare stages, and every checkout links to them."""
    data = folder / job.data
    summary = json.loads((data / "summary.json").read_text(encoding="utf-8"))
    if os.path.normpath(data / summary["pictures"]) != str(data / "pictures"):
        return  # a folder that is used in place
    digest = hashlib.sha256((data / "manifest.parquet").read_bytes()).hexdigest()
    kept = node / "pictures" / f"{data.name}-{digest[:12]}"
    for name in ("archives", "pictures"):
        (kept / name).mkdir(parents=True, exist_ok=True)
        if not (data / name).is_symlink():
            shutil.rmtree(data / name, ignore_errors=True)
            (data / name).symlink_to(kept / name)
    if not (kept / "complete").exists():
        repro(outcome, folder, environment, "-f", *job.pictures)
        (kept / "complete").touch()


def push(outcome: Outcome, folder: Path, environment: dict[str, str], stage: str) -> None:
    """With retries. What cannot be pushed stays in this machine's cache, from which the next attempt here restores it."""
    for n in range(PUSHES):
        try:
            command(outcome, folder, environment, sys.executable, "-c", PUSH, stage)
            return
        except Stopped as stopped:
            if n == PUSHES - 1:
                raise Stopped(f"done, but not pushed to the DVC remote ({stopped}); see that the remote can be reached and has "
                              "room, and launch again: this machine keeps the result", True) from None
            time.sleep(BACKOFF * 2**n)
