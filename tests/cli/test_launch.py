"""Launching: real DVC repositories whose stages are small scripts, and a remote in a folder.

Engines are this machine, submitit's local executor, and a Ray cluster of two nodes of which one is
killed.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import forks
import pytest
import yaml
from conftest import (
    CNN,
    LINEAR,
    ROLE,
    ROOT,
    init_dvc,
    run_settings,
    skip_without,
    write_yaml,
)

from mlrepro.errors import InputError
from mlrepro.records import Failure, read_failures, write_failure
from mlrepro.training.checkpoint import exclusive
from mlrepro_cli.launch import engines, schedule
from mlrepro_cli.launch.checkout import committed
from mlrepro_cli.launch.claim import claimed
from mlrepro_cli.launch.engines import attempts
from mlrepro_cli.launch.engines.attempts import AGAIN, SCRIPT, Outcome, attempt
from mlrepro_cli.launch.engines.source import Source, variables_of
from mlrepro_cli.launch.head import Request, launch
from mlrepro_cli.launch.pipeline import Job

TRAIN = f"train@{LINEAR}-0"
EVALUATE = f"evaluate@{LINEAR}-0"
RECORDS = Path("results/digits")
RECORD = RECORDS / f"{LINEAR}-s0.json"
YEAR = 365 * 24 * 3600

# Writes its first argument into the files that the others name.
WRITE = """
import pathlib, sys
for name in sys.argv[2:]:
    pathlib.Path(name).write_text(sys.argv[1])
"""

# Says that it ran; does as a file named after its run says, which the test puts there.
TRAINS = """
import os, pathlib, signal, sys, time
run, log = sys.argv[1], pathlib.Path(os.environ["LOG"])
with (log / "trained").open("a") as file:
    file.write(f"{run} {os.environ.get('MLREPRO_WORK')} {os.getpid()}\\n")
how = (log / run).read_text() if (log / run).exists() else ""
if how == "fail":
    sys.exit("error: labels.csv: no such column")
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "placed":
    device = os.environ["CUDA_VISIBLE_DEVICES"] or "on the CPU"
    print("read:", pathlib.Path("checkpoints/net.pth").read_text(), device)
if how == "wait":
    (log / run).unlink()
    time.sleep(200)
out = pathlib.Path("outputs") / run
out.mkdir(parents=True, exist_ok=True)
(out / "last").write_text(run)
"""

# As LD_PRELOAD it puts the clock wrong by AHEAD seconds for a process and its children: bash, git,
# dvc, python.
CLOCK = """
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    int failed = syscall(SYS_clock_gettime, id, t);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += AHEAD;
    return failed;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""

MATRIX = {"run": "${runs}", "seed": "${seeds}"}
STAGES = {
    "prepare": {
        "cmd": "python write.py data manifest.parquet",
        "deps": ["write.py"],
        "outs": ["manifest.parquet"],
    },
    "train": {
        "matrix": MATRIX,
        "cmd": "python train.py ${item.run}",
        "deps": ["train.py", "manifest.parquet"],
        "params": [{"runs/${item.run}.yaml": None}],
        "outs": ["outputs/${item.run}/last"],
    },
    "evaluate": {
        "matrix": MATRIX,
        "cmd": "python write.py {} outputs/${item.run}/logits"
        " results/digits/${item.run}-s${item.seed}.json",
        "deps": ["write.py", "outputs/${item.run}/last"],
        "outs": [
            "outputs/${item.run}/logits",
            {"results/digits/${item.run}-s${item.seed}.json": {"cache": False}},
        ],
    },
    "report": {
        "cmd": "python write.py page report.md",
        "deps": ["write.py", "results/digits"],
        "outs": [{"report.md": {"cache": False}}],
    },
}


# ---------------------------------------------------------------------------- repositories and jobs


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=t", "-c", "user.email=t@t"]
    command = ["git", *author, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")


def dvc(folder: Path, *words: str) -> str:
    command = [Path(sys.executable).with_name("dvc"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_runs(folder: Path, *runs: str) -> None:
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    write_yaml(folder / "params.yaml", settings | {"runs": list(runs)})
    for run_id in runs:
        write_yaml(folder / "runs" / f"{run_id}.yaml", run_settings(run_id))


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A committed repository with one run, whose stages bear the pipeline's names; its remote."""
    folder = tmp_path_factory.mktemp("launch") / "repository"
    write_runs(folder, LINEAR)
    (folder / "write.py").write_text(WRITE)
    (folder / "train.py").write_text(TRAINS)
    (folder / "src").mkdir()
    (folder / ".gitignore").write_text("/outputs/\n/manifest.parquet\n/.checkpoints/\n")
    write_yaml(folder / "dvc.yaml", {"stages": STAGES})
    (folder / RECORDS).mkdir(parents=True)
    (folder / RECORDS / ".gitignore").touch()

    git(folder, "init", "-q")
    init_dvc(folder, "../../remote")
    commit(folder)
    return folder


@pytest.fixture
def repository(template, tmp_path, monkeypatch) -> Path:
    """A copy to change, with a remote beside it and a log of its own; the tests work in it."""
    folder = tmp_path / "repository"
    shutil.copytree(template, folder)
    (tmp_path / "log").mkdir()

    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MLREPRO_WORK", str(tmp_path / "node"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setattr(schedule, "PAUSE", 0)
    monkeypatch.chdir(folder)
    return folder


def tell(folder: Path, run_id: str, how: str) -> None:
    """Says what a training does: fail, killed, placed, wait (see TRAINS)."""
    (folder.with_name("log") / run_id).write_text(how)


def trainings(folder: Path) -> list[list[str]]:
    """[run, the machine's folder, process] of every training that began, in order."""
    path = folder.with_name("log") / "trained"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def trained(folder: Path) -> list[str]:
    """The run of every training that began, in order."""
    return [run for run, *_ in trainings(folder)]


def launch_with(engine: str, **changes) -> int:
    settings = Path("params.yaml")
    request = {"settings": settings, "engine": engine, "jobs": 2, "gpus": 0, "attempts": 2}
    return launch(Request(**request | changes))


@pytest.fixture
def submitit_local(monkeypatch):
    """Called, it puts submitit's own executor in Slurm's place."""
    skip_without("slurm")
    slurm = engines.slurm

    def locally(*arguments):
        return slurm(*arguments, cluster="local")

    return lambda: monkeypatch.setattr(engines, "slurm", locally)


def source(folder: Path, gpus: int = 0) -> Source:
    head = git(folder, "rev-parse", "HEAD").strip()
    remote = ("storage", str(folder.with_name("remote")))
    return Source(str(folder), head, remote, gpus)


def attempt_on_cluster(job: Job, where: Source) -> Outcome:
    """One attempt as a worker makes it, which does not wait for a remote that is away."""
    script = SCRIPT.replace("in 0 2 4 8 16", "in 0 0")
    return Outcome(*attempt(script, variables_of(job, where)))


def make_shared(folder: Path, *stages: str) -> None:
    """What the head does before it starts jobs."""
    dvc(folder, "repro", "-q", "-s", *stages)
    dvc(folder, "push", "-q", "--run-cache", *stages)


# ----------------------------------------------------------------------------------- whole launches


def test_a_failed_job_leaves_a_row_and_loses_nothing(repository, capsys):
    write_runs(repository, LINEAR, ROLE)
    tell(repository, ROLE, "fail")
    assert launch_with("local") == 1
    assert sorted(trained(repository)) == sorted([LINEAR, ROLE]), (
        "an error of the stage's own is final"
    )
    assert RECORD.exists()
    assert Path("report.md").exists()
    failure = read_failures(RECORDS)[ROLE][0]
    assert failure.stage == f"train@{ROLE}-0"
    assert "no such column" in failure.error
    assert "no such column" in capsys.readouterr().err

    # The next launch tries it again, and nothing else.
    tell(repository, ROLE, "")
    assert launch_with("local") == 0
    assert sorted(trained(repository)) == sorted([LINEAR, ROLE, ROLE])
    assert not read_failures(RECORDS)
    assert "up to date" in dvc(repository, "repro")


def test_jobs_that_lack_what_all_share_fail_with_it(repository):
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())
    stages["stages"]["prepare"]["cmd"] = "exit 1"
    write_yaml(repository / "dvc.yaml", stages)
    assert launch_with("local") == 1
    error = read_failures(RECORDS)[LINEAR][0].error
    assert "not started, since prepare failed" in error
    assert trained(repository) == []


def test_a_pipeline_of_a_study_without_a_page(repository):
    folder = repository / "studies" / "x" / "set"
    folder.mkdir(parents=True)
    text = (repository / "dvc.yaml").read_text().replace("runs/${", "studies/x/set/runs/${")
    stages = yaml.safe_load(text)["stages"]
    below = {name: stage | {"wdir": "../../.."} for name, stage in stages.items()}
    write_yaml(folder / "dvc.yaml", {"stages": below})
    for name in ("params.yaml", "runs"):
        (repository / name).rename(folder / name)
    (repository / "dvc.yaml").unlink()

    assert launch_with("local", settings=Path("studies/x/set/params.yaml")) == 0
    assert trained(repository) == [LINEAR]


def test_jobs_share_the_repository_and_the_remote_alone(repository, submitit_local, capsys):
    """And a record of an earlier training is replaced."""
    submitit_local()
    RECORD.write_text("of an earlier training")
    commit(repository)
    assert launch_with("slurm") == 0
    assert trained(repository) == [LINEAR]
    assert RECORD.read_text() == "{}"
    assert "Data and pipelines are up to date" in dvc(repository, "repro")
    checkouts = repository.with_name("node") / "checkouts"
    assert not list(checkouts.glob("*/")), "a pushed stage's checkout is gone"
    claims = repository.with_name("remote").glob("mlrepro-launch/*")
    assert not list(claims), "the claim is gone"

    # A clone with nothing but git and the remote finds all of it done.
    git(repository.parent, "clone", "-q", str(repository), "second")
    second = repository.with_name("second")
    os.chdir(second)
    capsys.readouterr()
    assert launch_with("slurm") == 0
    assert "0 jobs" in capsys.readouterr().out
    assert len(trained(repository)) == 1
    assert (second / RECORD).read_text() == "{}"

    # Now the stage of the earlier record is in dvc.lock, too.
    os.chdir(repository)
    (repository / "write.py").write_text(WRITE.replace("sys.argv[1]", "sys.argv[1] + '2'"))
    RECORD.write_text("of an earlier training")
    commit(repository)
    assert launch_with("slurm") == 0
    assert RECORD.read_text() == "{}2"
    assert "2 jobs" in capsys.readouterr().out
    assert "up to date" in dvc(repository, "repro")


# ------------------------------------------------------------------------------------- wrong clocks


@pytest.fixture
def clocks(repository) -> dict[str, int]:
    """Machines by name, with how far their clocks are ahead, in seconds; <name>.so does it."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler; what puts clocks wrong is written in C")
    root = repository.parent
    (root / "clock.c").write_text(CLOCK)
    ahead_of = {"ahead": YEAR, "behind": -YEAR}
    for name, ahead in ahead_of.items():
        command = [compiler, "-shared", "-fPIC", f"-DAHEAD={ahead}", "-o", f"{name}.so", "clock.c"]
        subprocess.run(command, cwd=root, check=True)
    return ahead_of


def attempt_at(root: Path, machine: str, ahead: int, job: Job, where: Source) -> Outcome:
    """An attempt on a machine with a wrong clock, which the files bear that it writes."""
    variables = variables_of(job, where)
    variables["MLREPRO_WORK"] = str(root / machine)
    variables["LD_PRELOAD"] = f"{root}/{machine}.so"
    began = time.time()
    outcome = Outcome(*attempt("date +%s\n" + SCRIPT, variables))
    said = int(outcome.output.split()[0])
    assert abs(said - began - ahead) < YEAR / 2, "the clock is wrong"

    # The kernel, which stamps files, knows no such clock.
    for path in [*(root / machine).rglob("*"), *(root / "remote").rglob("*")]:
        written = path.lstat().st_mtime
        if began <= written <= time.time():
            os.utime(path, (written + ahead, written + ahead), follow_symlinks=False)
    return outcome


def test_machines_whose_clocks_are_a_year_ahead_and_a_year_behind(
    repository, clocks, monkeypatch, capsys
):
    """One trains, the other evaluates what is then of the future."""
    root = repository.parent

    @contextmanager
    def machines(where: Source, *_):
        def engine(job: Job) -> Outcome:
            machine = "ahead" if job.stage == TRAIN else "behind"
            return attempt_at(root, machine, clocks[machine], job, where)

        yield engine, 1

    monkeypatch.setattr(engines, "slurm", machines)
    assert launch_with("slurm") == 0
    assert "2 jobs" in capsys.readouterr().out
    assert trained(repository) == [LINEAR]
    assert RECORD.read_text() == "{}"
    assert Path("report.md").read_text() == "page"
    assert not read_failures(RECORDS)

    files = [path for path in (root / "remote").rglob("*") if path.is_file()]
    years = {round((path.stat().st_mtime - time.time()) / YEAR) for path in files}
    assert years == {-1, 0, 1}, "the remote has files of the head and of both machines"

    job = Job(TRAIN, shared=("prepare",))
    again = attempt_at(root, "behind", clocks["behind"], job, source(repository))
    assert again.error is None
    assert again.ran == [], "what was trained in its future is not trained again"

    git(root, "clone", "-q", str(repository), "second")
    os.chdir(root / "second")
    assert launch_with("slurm") == 0
    assert "0 jobs" in capsys.readouterr().out
    assert trained(repository) == [LINEAR]
    for name in (RECORD, "report.md", "dvc.lock"):
        assert (repository / name).read_text() == (root / "second" / name).read_text()


# ----------------------------------------------------------------------------- one attempt at a job


def test_what_is_trained_but_not_pushed_is_not_trained_again(repository, monkeypatch):
    make_shared(repository, "prepare")
    job = Job(TRAIN, shared=("prepare",))
    remote = repository.with_name("remote")
    remote.rename(remote.with_name("away"))
    remote.write_text("no folder")

    away = attempt_on_cluster(job, source(repository))
    assert away.status == AGAIN
    assert "done, but not pushed" in away.error
    assert TRAIN in away.ran

    # Another machine does not train instead.
    with monkeypatch.context() as patch:
        patch.setenv("MLREPRO_WORK", str(repository.with_name("another machine")))
        evaluation = Job(EVALUATE, shared=("prepare",), trained=(TRAIN,))
        other = attempt_on_cluster(evaluation, source(repository))
    assert other.status == AGAIN
    assert f"{TRAIN} is done and not in the DVC remote" in other.error

    # The remote is back, and full: no file may grow.
    remote.unlink()
    remote.with_name("away").rename(remote)
    push = "python -m mlrepro_cli.launch.pipeline push"
    script = SCRIPT.replace("in 0 2 4 8 16", "in 0").replace(push, f"ulimit -f 0; {push}")
    full = Outcome(*attempt(script, variables_of(job, source(repository))))
    assert full.status == AGAIN
    assert "see that it can be reached and has room" in full.error
    assert full.ran == []

    outcome = attempt_on_cluster(job, source(repository))
    assert outcome.error is None
    assert outcome.ran == []
    assert trained(repository) == [LINEAR]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # DVC runs a stage in $SHELL
def test_a_stage_killed_under_dvc_is_no_error_of_its_own(repository, monkeypatch, shell):
    monkeypatch.setenv("SHELL", shell)
    dvc(repository, "repro", "-s", "prepare")

    tell(repository, LINEAR, "killed")
    killed = Outcome(*attempt(SCRIPT, {"STAGE": TRAIN}))
    assert killed.status == AGAIN
    assert killed.ran == [TRAIN]

    tell(repository, LINEAR, "fail")
    failed = Outcome(*attempt(SCRIPT, {"STAGE": TRAIN}))
    assert failed.status == 1
    assert failed.error == "error: labels.csv: no such column"


def test_what_a_person_placed_on_a_machine_is_read_there(repository, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # which a launch with --gpus 0 leaves alone
    placed = repository.with_name("node") / "checkpoints" / "net.pth"
    placed.parent.mkdir(parents=True)
    placed.write_text("weights")
    tell(repository, LINEAR, "placed")

    outcome = attempt_on_cluster(Job(TRAIN, shared=("prepare",)), source(repository))
    assert outcome.error is None
    assert "read: weights on the CPU" in outcome.output
    assert placed.exists()


# A second job that reads every picture of a checkout, without torch.
READS = """
from pathlib import Path
from mlrepro.data.manifest import read_manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.data.shards import ShardReader
manifest = read_manifest(Path("data/digits"))
shards = ShardReader(manifest) if "shards" in manifest.summary else None
for row, name in enumerate(manifest.frame["image"]):
    content = shards.read(row).read() if shards else picture_file(manifest.root, name).read_bytes()
    assert content
"""


@pytest.mark.parametrize("shards", [{}, {"shards": {"pictures": 48}}], ids=["files", "shards"])
def test_pictures_are_made_once_a_machine(prepared, tmp_path, monkeypatch, shards):
    """The real stages: two jobs on one machine make the pictures of a manifest once.

    What makes them is asked once more where they are files: on a machine that makes others.
    """
    folder = tmp_path / "repository"
    write_real_repository(folder, prepared, shards)
    shared = ("download", "prepare")
    make_shared(folder, *shared)

    # A restored manifest comes without pictures.
    monkeypatch.setenv("MLREPRO_WORK", str(tmp_path / "node"))
    first, second = (
        Job(stage, shared, pictures=shared, data="data/digits")
        for stage in (f"train@{CNN}-0", "read")
    )
    outcome = attempt_on_cluster(first, source(folder))
    assert outcome.error is None
    assert outcome.ran == ["download", "prepare", first.stage]
    outcome = attempt_on_cluster(second, source(folder))
    assert outcome.error is None
    assert outcome.ran == [second.stage]
    archives = tmp_path / "node" / "archives" / "digits"
    assert list(archives.iterdir()), "where a person may place one"

    # A machine whose pictures are others.
    if shards:
        return
    monkeypatch.setenv("MLREPRO_WORK", str(tmp_path / "another"))
    make = "dvc repro -f -s $PICTURES"
    script = SCRIPT.replace(make, f'{make} && echo >>"$DATA/summary.json"')
    other = Outcome(*attempt(script, variables_of(first, source(folder))))
    assert other.status == AGAIN
    assert "prepare makes another manifest than the launch's" in other.error
    assert other.ran == ["download", "prepare"]
    assert not list((tmp_path / "another").rglob("complete"))


def write_real_repository(folder: Path, prepared: Path, shards: dict) -> None:
    """A committed repository with the real stages download, prepare and train, and a remote.

    Beside them stands a stage that reads the pictures.
    """
    folder.mkdir()
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    stages["train"]["deps"] = ["data/${name}/manifest.parquet"]
    kept = {name: stages[name] for name in ("download", "prepare", "train")}
    (folder / "read.py").write_text(READS)
    kept["read"] = {"cmd": "python read.py", "deps": ["read.py", *stages["train"]["deps"]]}
    write_yaml(folder / "dvc.yaml", {"stages": kept})

    settings = yaml.safe_load((prepared / "params.yaml").read_text())
    settings |= {"runs": [CNN], "seeds": [0]}
    settings["data"]["digits"] |= shards
    write_yaml(folder / "params.yaml", settings)
    write_yaml(folder / "runs" / f"{CNN}.yaml", run_settings(CNN, epochs=1))

    git(folder, "init", "-q")
    init_dvc(folder, "../../remote")
    commit(folder)


@pytest.mark.parametrize(
    "status, output, error",
    [
        (1, "a\nerror: b.csv: no column\nERROR: failed to reproduce\n", "error: b.csv: no column"),
        (AGAIN, "x\ndvc.exceptions.UploadError: 1 file\nerror: not pushed\n", "error: not pushed"),
        (1, "x\ny\n", "y"),
        (1, "", "it printed nothing"),
        (0, "error: of no account\n", None),
    ],
)
def test_what_a_failed_attempt_said(status, output, error):
    assert Outcome(status, output, "a").error == error


def test_failures_are_of_runs_without_a_record(tmp_path):
    folder = tmp_path / "digits"
    for seed in (0, 1):
        failure = Failure(stage=TRAIN, error="bad", host="a", log="x.log")
        write_failure(failure, folder / f"{LINEAR}-s{seed}.json")
    (folder / f"{LINEAR}-s1.json").write_text("{}")
    assert list(read_failures(folder)[LINEAR]) == [0]
    assert read_failures(tmp_path / "absent") == {}


# ---------------------------------------------------------------------------- which job starts when


def test_a_killed_stage_is_tried_again_and_its_dependents_wait(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(schedule, "PAUSE", 0)
    ran = "Running stage '{}':\n"
    outcomes = {
        "train": [Outcome(AGAIN, "killed", "a"), Outcome(0, ran.format("train"), "b")],
        "evaluate": [Outcome(0, ran.format("evaluate") + ran.format("extract"), "b")],
        "lone": [Outcome(1, "bad", "a")],
    }
    order = []

    def engine(job: Job) -> Outcome:
        order.append(job.stage)
        return outcomes[job.stage].pop(0)

    jobs = [
        Job("train"),
        Job("evaluate", shared=("prepare",), trained=("train",)),
        Job("lone"),
        Job("after", trained=("lone",)),
    ]
    ends = schedule.run_jobs(jobs, engine, slots=1, attempts=3, log=tmp_path)

    assert [stage for stage, end in ends.items() if not end.error] == ["train", "evaluate"]
    assert order.count("train") == 2
    assert order.index("evaluate") > order.index("train") + 1
    assert order.count("lone") == 1, "an error of the stage's own is final"
    assert "after" not in order
    assert ends["after"].error == "error: not started, since lone failed"
    out = capsys.readouterr().out
    assert "trying again" in out
    assert "it had to run extract" in out


def test_an_evaluation_goes_before_further_trainings(tmp_path):
    """So that results are there long before the last training has ended."""
    started = []

    def engine(job: Job) -> Outcome:
        started.append(job.stage)
        return Outcome(0, f"Running stage '{job.stage}':\n", "a")

    trainings = [Job("train 0"), Job("train 1"), Job("train 2")]
    evaluations = [Job(f"evaluate {k}", trained=(f"train {k}",)) for k in range(3)]
    schedule.run_jobs(trainings + evaluations, engine, slots=1, attempts=1, log=tmp_path)
    assert started == ["train 0", "evaluate 0", "train 1", "evaluate 1", "train 2", "evaluate 2"]


def test_an_interrupted_launch_starts_no_second_attempt(
    tmp_path, monkeypatch, signals_as_in_a_terminal
):
    monkeypatch.setattr(schedule, "PAUSE", 30)
    calls = []
    threads = []

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def engine(job: Job) -> Outcome:
        calls.append(job.stage)
        threads.append(threading.current_thread())
        threading.Timer(0.3, interrupt).start()  # in the pause after this attempt
        return Outcome(AGAIN, "killed", "a")

    with pytest.raises(KeyboardInterrupt):
        schedule.run_jobs([Job("train")], engine, slots=1, attempts=3, log=tmp_path)
    [thread] = threads
    thread.join(20)  # less than the pause
    assert not thread.is_alive()
    assert calls == ["train"]


@pytest.fixture
def signals_as_in_a_terminal():
    """A test run that a script has put into the background (&, nohup) ignores two signals.

    So would all processes that it starts.
    """
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# A head that begins with its signals as they are in a terminal, whatever those of the tests are.
HEAD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
{}
from mlrepro_cli.main import main
sys.exit(main())
"""
SIGINT_IGNORED = "signal.signal(signal.SIGINT, signal.SIG_IGN)"


# In the background of a script, where SIGINT is ignored, SIGTERM ends it.
@pytest.mark.parametrize(
    ("number", "surroundings"),
    [(signal.SIGINT, ""), (signal.SIGTERM, SIGINT_IGNORED), (signal.SIGHUP, "")],
)
def test_an_interrupted_launch_leaves_no_job_running(repository, number, surroundings):
    tell(repository, LINEAR, "wait")
    head = forks.start("-c", HEAD.format(surroundings), "launch", "params.yaml")
    while not trainings(repository):
        assert head.poll() is None, head.output
        time.sleep(0.05)

    os.kill(head.pid, number)
    assert head.wait() == 130, head.output
    assert "interrupted" in head.output
    [(_, _, process)] = trainings(repository)
    for _ in range(600):
        if has_ended(process):
            return
        time.sleep(0.1)
    raise AssertionError("the training goes on")


def has_ended(process: str) -> bool:
    """Whether a process is gone, or a zombie that nobody has asked for yet."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


# ---------------------------------------------------------------------------------- what is refused


def refuse_claim(message: str) -> None:
    with pytest.raises(InputError, match=message), claimed("demo", take_over=False):
        pass


def test_a_second_head_is_refused(repository, capsys):
    with claimed("demo", take_over=False):
        file = next(repository.with_name("remote").glob("mlrepro-launch/*"))
        own = json.loads(file.read_text())

        # Of a head elsewhere, which only the user knows to be gone.
        file.write_text(json.dumps(own | {"host": "elsewhere"}))
        refuse_claim("on elsewhere .* --take-over")
        with claimed("demo", take_over=True):
            assert json.loads(file.read_text())["host"] == own["host"]
        assert "trained twice" in capsys.readouterr().out

        # Of a head that died in this very folder.
        file.write_text(json.dumps(own))
        with claimed("demo", take_over=False):
            pass

        # Cut off, as on a full disk.
        file.write_text("{")
        refuse_claim("process unknown .* --take-over")
        file.write_text(json.dumps(own | {"token": "another's"}))
    assert file.exists(), "of the head that took over"


def test_a_second_launch_in_this_checkout_is_refused(repository):
    with exclusive("launch-demo"), pytest.raises(InputError, match="another process is at work"):
        launch_with("local")


def test_what_a_launch_needs_is_asked_for_before_any_job(repository, submitit_local):
    def refused(message: str, engine: str, **changes) -> None:
        with pytest.raises(InputError, match=message):
            launch_with(engine, **changes)

    # GPUs, here and on a worker.
    refused("--gpus 99 --jobs 2: this machine has", "local", gpus=99)
    outcome = attempt_on_cluster(Job(TRAIN), source(repository, gpus=99))
    assert outcome.status == AGAIN
    assert re.search(r"this worker sees \d+ GPUs and the launch asked for 99", outcome.error)

    # A commit.
    (repository / "runs" / f"{LINEAR}.yaml").write_text("changed: 1\n")
    refused(f"jobs check out a commit, and runs/{LINEAR}.yaml differ", "slurm")
    git(repository, "checkout", "-q", ".")

    # Slurm, and parameters that submitit knows.
    refused("--engine slurm: .*launch where sbatch is", "slurm")
    submitit_local()
    refused("(?s)partitio.*; .*submitit's parameters", "slurm", options=["partitio=gpu"])

    # A remote that keeps a run cache.
    dvc(repository, "remote", "modify", "storage", "url", "https://example.invalid")
    commit(repository)
    refused("is https://example.invalid; .*over http DVC keeps no run cache", "slurm")
    dvc(repository, "remote", "remove", "storage")
    commit(repository)
    refused("dvc remote add -d storage", "slurm")

    # Options that are the engine's.
    message = "--set adress: the engine ray knows address and num_cpus"
    with pytest.raises(InputError, match=message):
        engines.ray(source(repository), 1, {"adress": "a"}).__enter__()
    refused("--set, --repository and --take-over are for", "local", take_over=True)

    # A pipeline.
    (repository / "dvc.yaml").write_text("stages: 1\n")
    refused("(?s)dvc: .*dvc.yaml", "local")
    (repository / "dvc.yaml").unlink()
    refused("params.yaml: there is no dvc.yaml beside it", "local")
    assert trained(repository) == []


def test_jobs_clone_origin_where_it_has_the_commit(repository):
    address = "https://me:secret@a.invalid/b.git"
    git(repository, "remote", "add", "origin", address)
    git(repository, "update-ref", "refs/remotes/backup/main", "HEAD")
    assert committed(None)[0] == str(repository)
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert committed(None)[0] == address

    failed = Outcome(1, f"fatal: no {address}: x", "a")
    assert failed.error == "fatal: no https://a.invalid/b.git: x"


# ------------------------------------------------------------------------------------------ engines


@pytest.mark.parametrize(
    "visible, expected",
    [
        ("4,GPU-5e", ["4", "GPU-5e"]),
        (None, ["0", "1"]),
    ],
)
def test_local_jobs_have_the_gpus_that_the_user_left(monkeypatch, visible, expected):
    given = []

    def attempted(script: str, variables: dict, started: list) -> tuple[int, str, str]:
        given.append(variables["CUDA_VISIBLE_DEVICES"])
        return 0, "", ""

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(attempts, "attempt", attempted)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    else:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    with engines.local(None, None) as (engine, slots):
        assert slots == 2
        assert [engine(Job(TRAIN)).status for _ in range(2)] == [0, 0]
    assert given == expected


def test_a_lost_node_of_a_ray_cluster(repository, monkeypatch, capsys):
    """Two nodes; the one at work is killed; its job is done on the other."""
    skip_without("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    tell(repository, LINEAR, "wait")
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = {}
    for name in ("a", "b"):
        variables = {"MLREPRO_WORK": str(repository.with_name(name))}
        nodes[name] = cluster.add_node(num_cpus=1, env_vars=variables)

    killer = threading.Thread(target=lose_the_node_at_work, args=(repository, cluster, nodes))
    try:
        killer.start()
        assert launch_with("ray", jobs=1, options=[f"address={cluster.address}"]) == 0
    finally:
        killer.join()
        cluster.shutdown()
        began = trainings(repository)
        # A machine that is lost would have taken its training along.
        os.kill(int(began[0][2]), signal.SIGKILL)

    first, second = began
    assert first[1] != second[1], "done on the other node"
    out = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{out}")  # the log that is kept in benchmarks/results
    lost = f"{TRAIN}: attempt 1 on a lost host.*its worker was lost.*trying again"
    assert re.search(lost, out)
    assert re.search(f"{TRAIN}: attempt 2 on .* s: done", out)
    assert "Data and pipelines are up to date" in dvc(repository, "repro")


def lose_the_node_at_work(repository: Path, cluster, nodes: dict) -> None:
    """Kills the node on which the first training waits."""
    file = repository.with_name("log") / "trained"
    for _ in range(3000):
        if file.exists() and file.read_text().endswith("\n"):
            _, machine, _ = trainings(repository)[0]
            cluster.remove_node(nodes[Path(machine).name], allow_graceful=False)
            return
        time.sleep(0.1)
