"""Launching: real DVC repositories whose stages are small scripts, a remote in a folder, submitit's local executor and a Ray
cluster of two nodes of which one is killed."""

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

import pytest
import yaml
from conftest import LINEAR, PICTURES, ROLE, ROOT, run_settings, write_yaml

from mlrepro.errors import InputError
from mlrepro.records import Failure, read_failures, write_failure
from mlrepro.training.checkpoint import exclusive
from mlrepro_cli.launch import checkout, claim, engines, head, schedule
from mlrepro_cli.launch.engines import attempts
from mlrepro_cli.launch.engines.attempts import AGAIN, SCRIPT, Outcome, attempt
from mlrepro_cli.launch.engines.source import Source, variables_of
from mlrepro_cli.launch.pipeline import Job

TRAIN, EVALUATE = f"train@{LINEAR}-0", f"evaluate@{LINEAR}-0"
WRITE = (
    "import sys, pathlib\nfor name in sys.argv[2:]: pathlib.Path(name).write_text(sys.argv[1])\n"
)
# Says that it ran; does as a file named after its run says, which the test puts there.
TRAINS = """
import os, pathlib, signal, sys, time
run, log = sys.argv[1], pathlib.Path(os.environ["LOG"])
with (log / "trained").open("a") as file: file.write(f"{run} {os.environ.get('MLREPRO_WORK')} {os.getpid()}\\n")
how = (log / run).read_text() if (log / run).exists() else ""
if how == "fail": sys.exit("error: labels.csv: no such column")
if how == "killed": os.kill(os.getpid(), signal.SIGKILL)
if how == "placed":
    print("read:", pathlib.Path("checkpoints/net.pth").read_text(), os.environ["CUDA_VISIBLE_DEVICES"] or "on the CPU")
if how == "wait":
    (log / run).unlink()
    time.sleep(200)
out = pathlib.Path("outputs") / run
out.mkdir(parents=True, exist_ok=True)
(out / "last").write_text(run)
"""

# As LD_PRELOAD it puts the clock wrong by AHEAD seconds for a process and its children: bash, git, dvc, python.
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


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def dvc(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("dvc"), *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_runs(folder: Path, *runs: str) -> None:
    write_yaml(
        folder / "params.yaml",
        yaml.safe_load((ROOT / "params.yaml").read_text()) | {"runs": list(runs)},
    )
    for run_id in runs:
        write_yaml(folder / "runs" / f"{run_id}.yaml", run_settings(run_id))


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A committed repository with one run, whose stages bear the pipeline's names; a remote beside it."""
    folder = tmp_path_factory.mktemp("launch") / "repository"
    with_runs(folder, LINEAR)
    (folder / "write.py").write_text(WRITE)
    (folder / "train.py").write_text(TRAINS)
    (folder / "src").mkdir()
    (folder / ".gitignore").write_text("/outputs/\n/manifest.parquet\n/.checkpoints/\n")
    matrix = {"run": "${runs}", "seed": "${seeds}"}
    stages = {
        "prepare": {
            "cmd": "python write.py data manifest.parquet",
            "deps": ["write.py"],
            "outs": ["manifest.parquet"],
        },
        "train": {
            "matrix": matrix,
            "cmd": "python train.py ${item.run}",
            "deps": ["train.py", "manifest.parquet"],
            "params": [{"runs/${item.run}.yaml": None}],
            "outs": ["outputs/${item.run}/last"],
        },
        "evaluate": {
            "matrix": matrix,
            "deps": ["write.py", "outputs/${item.run}/last"],
            "cmd": "python write.py {} outputs/${item.run}/logits results/digits/${item.run}-s${item.seed}.json",
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
    write_yaml(folder / "dvc.yaml", {"stages": stages})
    (folder / "results" / "digits").mkdir(parents=True)
    (folder / "results" / "digits" / ".gitignore").touch()
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "remote", "add", "-q", "-d", "storage", str(folder.with_name("remote")))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")
    return folder


@pytest.fixture
def repository(template, tmp_path, monkeypatch) -> Path:
    """A copy to change, with a remote and a log of its own; the tests work in it."""
    folder = tmp_path / "repository"
    shutil.copytree(template, folder)
    dvc(folder, "remote", "add", "-q", "-f", "-d", "storage", str(tmp_path / "remote"))
    git(folder, "commit", "-qam", "remote")
    (tmp_path / "log").mkdir()
    for name, value in {
        "LOG": str(tmp_path / "log"),
        "MLREPRO_WORK": str(tmp_path / "node"),
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(schedule, "PAUSE", 0)
    monkeypatch.chdir(folder)
    return folder


def trained(folder: Path) -> list[str]:
    """The run of every training that began, in order."""
    path = folder.with_name("log") / "trained"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def launch(engine: str, gpus: int = 0, **changes) -> int:
    return head.launch(head.Request(
        **{
            "settings": Path("params.yaml"),
            "engine": engine,
            "jobs": 2,
            "gpus": gpus,
            "attempts": 2,
            "repository": None,
            "take_over": False,
            "options": [],
        }
        | changes
    ))


@pytest.fixture
def submitit_local(monkeypatch):
    """Called, it puts submitit's own executor in Slurm's place."""
    slurm = engines.slurm
    return lambda: monkeypatch.setattr(
        engines, "slurm", lambda *arguments: slurm(*arguments, cluster="local")
    )


def source(folder: Path, gpus: int = 0) -> Source:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True
    ).stdout.strip()
    return Source(str(folder), commit, ("storage", str(folder.with_name("remote"))), gpus)


def work(job: Job, where: Source) -> Outcome:
    return Outcome(*attempt(SCRIPT.replace("in 0 2 4 8 16", "in 0 0"), variables_of(job, where)))


def test_a_failed_job_leaves_a_row_and_loses_nothing(repository, capsys):
    with_runs(repository, LINEAR, ROLE)
    (repository.with_name("log") / ROLE).write_text("fail")
    assert launch("local") == 1
    assert sorted(trained(repository)) == sorted([LINEAR, ROLE]), (
        "an error of the stage's own is final"
    )
    assert (repository / "results" / "digits" / f"{LINEAR}-s0.json").exists() and (
        repository / "report.md"
    ).exists()
    failure = read_failures(repository / "results" / "digits")[ROLE][0]
    assert failure.stage == f"train@{ROLE}-0" and "no such column" in failure.error
    assert "no such column" in capsys.readouterr().err

    (repository.with_name("log") / ROLE).unlink()
    assert launch("local") == 0
    assert sorted(trained(repository)) == sorted([LINEAR, ROLE, ROLE])
    assert not read_failures(repository / "results" / "digits")
    assert "up to date" in dvc(repository, "repro")


def test_jobs_that_lack_what_all_share_fail_with_it(repository):
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())
    stages["stages"]["prepare"]["cmd"] = "exit 1"
    write_yaml(repository / "dvc.yaml", stages)
    assert launch("local") == 1
    assert (
        "not started, since prepare failed"
        in read_failures(repository / "results" / "digits")[LINEAR][0].error
    )
    assert trained(repository) == []


def test_jobs_share_the_repository_and_the_remote_alone(repository, submitit_local, capsys):
    submitit_local()
    assert launch("slurm") == 0
    assert trained(repository) == [LINEAR]
    assert "Data and pipelines are up to date" in dvc(repository, "repro")
    assert not list((repository.with_name("node") / "checkouts").glob("*/")), (
        "a pushed stage's checkout is gone"
    )
    assert not list(repository.with_name("remote").glob("mlrepro-launch/*")), "the claim is gone"

    # A clone with nothing but git and the remote finds all of it done.
    git(repository.parent, "clone", "-q", str(repository), "second")
    os.chdir(repository.with_name("second"))
    capsys.readouterr()
    assert launch("slurm") == 0
    assert "0 jobs" in capsys.readouterr().out and len(trained(repository)) == 1
    assert (repository.with_name("second") / "results" / "digits" / f"{LINEAR}-s0.json").exists()


def test_machines_whose_clocks_are_a_year_ahead_and_a_year_behind(repository, monkeypatch, capsys):
    """One trains, the other evaluates what is then of the future. What a machine writes, also into the remote, bears its time."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler; what puts clocks wrong is written in C")
    root, year = repository.parent, 365 * 24 * 3600
    (root / "clock.c").write_text(CLOCK)
    for name, ahead in {"ahead": year, "behind": -year}.items():
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-DAHEAD={ahead}", "-o", f"{name}.so", "clock.c"],
            cwd=root,
            check=True,
        )

    def at(name: str, ahead: int, job: Job, where: Source) -> Outcome:
        variables = variables_of(job, where) | {
            "MLREPRO_WORK": str(root / name),
            "LD_PRELOAD": f"{root}/{name}.so",
        }
        began = time.time()
        outcome = Outcome(*attempt("date +%s\n" + SCRIPT, variables))
        assert abs(int(outcome.output.split()[0]) - began - ahead) < year / 2
        for path in [
            *(root / name).rglob("*"),
            *(root / "remote").rglob("*"),
        ]:  # the kernel knows no such clock
            if began <= (written := path.lstat().st_mtime) <= time.time():
                os.utime(path, (written + ahead, written + ahead), follow_symlinks=False)
        return outcome

    @contextmanager
    def machines(where: Source, *_):
        yield (
            lambda job: at(
                *(("ahead", year) if job.stage == TRAIN else ("behind", -year)), job, where
            ),
            1,
        )

    monkeypatch.setattr(engines, "slurm", machines)
    assert launch("slurm") == 0
    assert "2 jobs" in capsys.readouterr().out and trained(repository) == [LINEAR]
    assert (repository / "results" / "digits" / f"{LINEAR}-s0.json").read_text() == "{}"
    assert (repository / "report.md").read_text() == "page" and not read_failures(
        repository / "results" / "digits"
    )
    times = {
        round((path.stat().st_mtime - time.time()) / year)
        for path in (root / "remote").rglob("*")
        if path.is_file()
    }
    assert times == {-1, 0, 1}, "the remote has files of the head and of both machines"

    again = at("behind", -year, Job(TRAIN, ("prepare",)), source(repository))
    assert (again.error, again.ran) == (None, []), (
        "what was trained in its future is not trained again"
    )
    git(root, "clone", "-q", str(repository), "second")
    os.chdir(root / "second")
    assert launch("slurm") == 0
    assert "0 jobs" in capsys.readouterr().out and trained(repository) == [LINEAR]
    for name in (f"results/digits/{LINEAR}-s0.json", "report.md", "dvc.lock"):
        assert (repository / name).read_text() == (root / "second" / name).read_text()


def test_a_record_of_an_earlier_training_is_replaced(repository, submitit_local, capsys):
    submitit_local()
    record = repository / "results" / "digits" / f"{LINEAR}-s0.json"
    for number in (1, 2):  # the second time its stage is in dvc.lock, too
        (repository / "write.py").write_text(
            WRITE.replace("sys.argv[1]", f"sys.argv[1] + '{number}'")
        )
        record.write_text("of an earlier training")
        git(repository, "add", "-A")
        git(repository, "commit", "-qam", "another training")
        assert launch("slurm") == 0
        assert record.read_text() == f"{{}}{number}" and "2 jobs" in capsys.readouterr().out
        assert "up to date" in dvc(repository, "repro")


def test_what_is_trained_but_not_pushed_is_not_trained_again(repository, monkeypatch):
    dvc(repository, "repro", "-s", "prepare")
    dvc(repository, "push", "--run-cache", "prepare")
    job, remote = Job(TRAIN, ("prepare",)), repository.with_name("remote")
    remote.rename(remote.with_name("away"))
    remote.write_text("no folder")
    away = work(job, source(repository))
    assert away.status == AGAIN and "done, but not pushed" in away.error and TRAIN in away.ran
    with monkeypatch.context() as patch:
        patch.setenv("MLREPRO_WORK", str(repository.with_name("another machine")))
        other = work(Job(EVALUATE, ("prepare",), trained=(TRAIN,)), source(repository))
    assert other.status == AGAIN and f"{TRAIN} is done and not in the DVC remote" in other.error, (
        "it does not train instead"
    )

    remote.unlink()
    remote.with_name("away").rename(remote)
    push = "python -m mlrepro_cli.launch.pipeline push"
    small = SCRIPT.replace("in 0 2 4 8 16", "in 0").replace(
        push, f"ulimit -f 0; {push}"
    )  # no file may grow: a full disk
    full = Outcome(*attempt(small, variables_of(job, source(repository))))
    assert (
        full.status == AGAIN
        and "see that it can be reached and has room" in full.error
        and full.ran == []
    )
    outcome = work(job, source(repository))
    assert (outcome.error, outcome.ran, trained(repository)) == (None, [], [LINEAR])


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # DVC runs a stage in $SHELL
def test_a_stage_killed_under_dvc_is_no_error_of_its_own(repository, monkeypatch, shell):
    monkeypatch.setenv("SHELL", shell)
    outcome = {}
    dvc(repository, "repro", "-s", "prepare")
    for how in ("killed", "fail"):
        (repository.with_name("log") / LINEAR).write_text(how)
        outcome[how] = Outcome(*attempt(SCRIPT, {"STAGE": TRAIN}))
    assert outcome["killed"].status == AGAIN and outcome["killed"].ran == [TRAIN]
    assert (
        outcome["fail"].status == 1 and outcome["fail"].error == "error: labels.csv: no such column"
    )


def test_a_killed_stage_is_tried_again_and_its_dependents_wait(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(schedule, "PAUSE", 0)
    ran = "Running stage '{}':\n".format
    tries = {
        "train": [Outcome(AGAIN, "killed", "a"), Outcome(0, ran("train"), "b")],
        "evaluate": [Outcome(0, ran("evaluate") + ran("extract"), "b")],
        "lone": [Outcome(1, "bad", "a")],
    }
    order = []

    def engine(job: Job) -> Outcome:
        order.append(job.stage)
        return tries[job.stage].pop(0)

    jobs = [
        Job("train"),
        Job("evaluate", ("prepare",), trained=("train",)),
        Job("lone"),
        Job("after", trained=("lone",)),
    ]
    ends = schedule.run_jobs(jobs, engine, 1, 3, tmp_path)
    assert [stage for stage, end in ends.items() if not end.error] == ["train", "evaluate"]
    assert "after" not in order and ends["after"].error == "error: not started, since lone failed"
    assert (
        order.count("train") == 2
        and order.count("lone") == 1
        and order.index("evaluate") > order.index("train") + 1
    )
    said = capsys.readouterr().out
    assert "trying again" in said and "it had to run extract" in said


def test_an_interrupted_launch_starts_no_second_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "PAUSE", 30)
    calls = []

    def engine(job: Job) -> Outcome:
        calls.append(job.stage)
        threading.Timer(
            0.3, lambda: os.kill(os.getpid(), signal.SIGINT)
        ).start()  # in the pause after it
        return Outcome(AGAIN, "killed", "a")

    with pytest.raises(KeyboardInterrupt):
        schedule.run_jobs([Job("train")], engine, 1, 3, tmp_path)
    [thread] = [
        one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")
    ] or [threading.Thread()]
    thread.ident and thread.join(5)
    assert calls == ["train"] and not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_launch_leaves_no_job_running(repository, number):
    log = repository.with_name("log")
    (log / LINEAR).write_text("wait")
    command = [
        sys.executable,
        "-c",
        "import sys; from mlrepro_cli.main import main; sys.exit(main())",
        "launch",
        "params.yaml",
    ]
    head_process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (log / "trained").exists():
        assert head_process.poll() is None
        time.sleep(0.05)
    head_process.send_signal(number)
    assert (
        "interrupted" in head_process.communicate(timeout=60)[1] and head_process.returncode == 130
    )
    pid = (log / "trained").read_text().split()[2]
    for _ in range(100):
        if (
            not Path(f"/proc/{pid}").exists()
            or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        ):
            return
        time.sleep(0.1)
    raise AssertionError("the training goes on")


def test_a_second_head_is_refused(repository, capsys):
    with claim.claimed("demo", False):
        the_claim = next(repository.with_name("remote").glob("mlrepro-launch/*"))
        other = json.loads(the_claim.read_text())
        the_claim.write_text(json.dumps(other | {"host": "elsewhere"}))
        with (
            pytest.raises(InputError, match="on elsewhere .* --take-over"),
            claim.claimed("demo", False),
        ):
            pass
        with claim.claimed("demo", True):
            assert json.loads(the_claim.read_text())["host"] == other["host"]
        assert "trained twice" in capsys.readouterr().out
        the_claim.write_text(json.dumps(other))  # of a head that died in this very folder
        with claim.claimed("demo", False):
            pass
        the_claim.write_text("{")  # cut off, as on a full disk
        with (
            pytest.raises(InputError, match="process unknown .* --take-over"),
            claim.claimed("demo", False),
        ):
            pass
        the_claim.write_text(json.dumps(other | {"token": "another's"}))
    assert the_claim.exists(), "of the head that took over"
    with exclusive("launch-demo"), pytest.raises(InputError, match="another process is at work"):
        launch("local")


def test_what_a_launch_needs_is_asked_for_before_any_job(repository, submitit_local):
    with pytest.raises(InputError, match="--gpus 99 --jobs 2: this machine has"):
        launch("local", gpus=99)
    outcome = work(Job(TRAIN), source(repository, gpus=99))
    assert outcome.status == AGAIN and re.search(
        "this worker sees \\d+ GPUs and the launch asked for 99", outcome.error
    )
    (repository / "runs" / f"{LINEAR}.yaml").write_text("changed: 1\n")
    with pytest.raises(InputError, match=f"jobs check out a commit, and runs/{LINEAR}.yaml differ"):
        launch("slurm")
    git(repository, "checkout", "-q", ".")
    with pytest.raises(InputError, match="--engine slurm: .*launch where sbatch is"):
        launch("slurm")
    submitit_local()
    with pytest.raises(InputError, match="(?s)partitio.*; .*submitit's parameters"):
        launch("slurm", options=["partitio=gpu"])
    dvc(repository, "remote", "modify", "storage", "url", "https://example.invalid")
    git(repository, "commit", "-qam", "http")
    with pytest.raises(
        InputError, match="is https://example.invalid; .*over http DVC keeps no run cache"
    ):
        launch("slurm")
    dvc(repository, "remote", "remove", "storage")
    git(repository, "commit", "-qam", "none")
    with pytest.raises(InputError, match="dvc remote add -d storage"):
        launch("slurm")
    with (
        pytest.raises(InputError, match="--set adress: the engine ray knows address and num_cpus"),
        engines.ray(source(repository), 1, {"adress": "a"}),
    ):
        pass
    with pytest.raises(InputError, match="--set, --repository and --take-over are for"):
        launch("local", take_over=True)
    (repository / "dvc.yaml").write_text("stages: 1\n")
    with pytest.raises(InputError, match="(?s)dvc: .*dvc.yaml"):
        launch("local")
    (repository / "dvc.yaml").unlink()
    with pytest.raises(InputError, match="params.yaml: there is no dvc.yaml beside it"):
        launch("local")
    assert trained(repository) == []


def test_jobs_clone_origin_where_it_has_the_commit(repository):
    git(repository, "remote", "add", "origin", "https://me:secret@a.invalid/b.git")
    git(repository, "update-ref", "refs/remotes/backup/main", "HEAD")
    assert checkout.committed(None)[0] == str(repository)
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert checkout.committed(None)[0] == "https://me:secret@a.invalid/b.git"
    assert (
        Outcome(1, "fatal: no https://me:secret@a.invalid/b.git: x", "a").error
        == "fatal: no https://a.invalid/b.git: x"
    )


def test_local_jobs_have_the_gpus_that_the_user_left(monkeypatch):
    given = []

    def attempted(script: str, variables: dict, started: list) -> tuple:
        given.append(variables["CUDA_VISIBLE_DEVICES"])
        return 0, "", ""

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(attempts, "attempt", attempted)
    for visible, wanted in (("4,GPU-5e", ["4", "GPU-5e"]), (None, ["0", "1"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible) if visible else monkeypatch.delenv(
            "CUDA_VISIBLE_DEVICES"
        )
        with engines.local(None, None) as (engine, slots):
            assert slots == 2 and [engine(Job(TRAIN)).status for _ in range(2)] == [0, 0]
        assert given[-2:] == wanted


def test_a_pipeline_of_a_study_without_a_page(repository):
    (repository / "studies" / "x").mkdir(parents=True)
    stages = yaml.safe_load(
        (repository / "dvc.yaml").read_text().replace("runs/${", "studies/x/set/runs/${")
    )["stages"]
    below = {name: one | {"wdir": "../../.."} for name, one in stages.items()}
    write_yaml(repository / "studies/x/set/dvc.yaml", {"stages": below})
    for name in ("params.yaml", "runs"):
        (repository / name).rename(repository / "studies/x/set" / name)
    (repository / "dvc.yaml").unlink()
    assert launch("local", settings=Path("studies/x/set/params.yaml")) == 0 and trained(
        repository
    ) == [LINEAR]


def test_what_a_person_placed_on_a_machine_is_read_there(repository, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # which a launch with --gpus 0 leaves alone
    placed = repository.with_name("node") / "checkpoints" / "net.pth"
    placed.parent.mkdir(parents=True)
    placed.write_text("weights")
    (repository.with_name("log") / LINEAR).write_text("placed")
    outcome = work(Job(TRAIN, ("prepare",)), source(repository))
    assert (
        outcome.error is None and "read: weights on the CPU" in outcome.output and placed.exists()
    )


@pytest.mark.parametrize("shards", [{}, {"shards": {"pictures": 48}}], ids=["files", "shards"])
def test_pictures_are_made_once_a_machine(prepared, tmp_path, monkeypatch, shards):
    """The real stages: a restored manifest comes without pictures; two trainings on one machine make them once."""
    folder, remote = tmp_path / "repository", tmp_path / "remote"
    folder.mkdir()
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    stages["train"]["deps"] = ["data/${name}/manifest.parquet"]
    write_yaml(
        folder / "dvc.yaml",
        {"stages": {name: stages[name] for name in ("download", "prepare", "train")}},
    )
    settings = yaml.safe_load((prepared / "params.yaml").read_text()) | {
        "runs": [PICTURES],
        "seeds": [0, 1],
    }
    settings["data"]["digits"] |= shards
    write_yaml(folder / "params.yaml", settings)
    write_yaml(folder / "runs" / f"{PICTURES}.yaml", run_settings(PICTURES, epochs=1))
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")
    dvc(folder, "remote", "add", "-q", "-d", "storage", str(remote))
    shared = ("download", "prepare")
    dvc(folder, "repro", "-q", "-s", *shared)
    dvc(folder, "push", "-q", "--run-cache", *shared)
    monkeypatch.setenv("MLREPRO_WORK", str(tmp_path / "node"))
    jobs = [
        Job(f"train@{PICTURES}-{seed}", shared, pictures=shared, data="data/digits")
        for seed in (0, 1)
    ]
    outcomes = [work(job, source(folder)) for job in jobs]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert [outcome.ran for outcome in outcomes] == [
        ["download", "prepare", f"train@{PICTURES}-0"],
        [f"train@{PICTURES}-1"],
    ]
    assert [*(tmp_path / "node" / "archives" / "digits").iterdir()], "where a person may place one"

    monkeypatch.setenv("MLREPRO_WORK", str(tmp_path / "another"))  # whose pictures are others
    make = "dvc repro -f -s $PICTURES"
    script = SCRIPT.replace(make, f'{make} && echo >>"$DATA/summary.json"')
    other = Outcome(*attempt(script, variables_of(jobs[0], source(folder))))
    assert (
        other.status == AGAIN and "prepare makes another manifest than the launch's" in other.error
    )
    assert other.ran == ["download", "prepare"] and not [*(tmp_path / "another").rglob("complete")]


@pytest.mark.parametrize(
    "status, output, said",
    [
        (1, "a\nerror: b.csv: no column\nERROR: failed to reproduce\n", "error: b.csv: no column"),
        (AGAIN, "x\ndvc.exceptions.UploadError: 1 file\nerror: not pushed\n", "error: not pushed"),
        (1, "x\ny\n", "y"),
        (1, "", "it printed nothing"),
        (0, "error: of no account\n", None),
    ],
)
def test_what_a_failed_attempt_said(status, output, said):
    assert Outcome(status, output, "a").error == said


def test_failures_are_of_runs_without_a_record(tmp_path):
    for seed in (0, 1):
        write_failure(
            Failure(stage=TRAIN, error="bad", host="a", log="x.log"),
            tmp_path / "digits" / f"{LINEAR}-s{seed}.json",
        )
    (tmp_path / "digits" / f"{LINEAR}-s1.json").write_text("{}")
    assert (
        list(read_failures(tmp_path / "digits")[LINEAR]) == [0]
        and read_failures(tmp_path / "absent") == {}
    )


def test_a_lost_node_of_a_ray_cluster(repository, monkeypatch, capsys):
    """Two nodes; the one at work is killed; its job is done on the other."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    (repository.with_name("log") / LINEAR).write_text("wait")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = {
        name: cluster.add_node(
            num_cpus=1, env_vars={"MLREPRO_WORK": str(repository.with_name(name))}
        )
        for name in "ab"
    }
    at_work = threading.Thread(
        target=lose_the_node_at_work, args=(repository.with_name("log"), cluster, nodes)
    )
    try:
        at_work.start()
        assert launch("ray", jobs=1, options=[f"address={cluster.address}"]) == 0
    finally:
        at_work.join()
        cluster.shutdown()
        began = [
            line.split()
            for line in (repository.with_name("log") / "trained").read_text().splitlines()
        ]
        os.kill(
            int(began[0][2]), signal.SIGKILL
        )  # a machine that is lost would have taken it along
    assert len(began) == 2 and began[0][1] != began[1][1], "done on the other node"
    said = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{said}")  # the log that is kept in benchmarks/results
    assert re.search(f"{TRAIN}: attempt 1 on a lost host.*its worker was lost.*trying again", said)
    assert re.search(f"{TRAIN}: attempt 2 on .* s: done", said)
    assert "Data and pipelines are up to date" in dvc(repository, "repro")


def lose_the_node_at_work(log: Path, cluster, nodes: dict) -> None:
    """Kills the node on which the first training waits."""
    for _ in range(3000):
        if (log / "trained").exists() and (log / "trained").read_text().endswith("\n"):
            cluster.remove_node(
                nodes[Path((log / "trained").read_text().split()[1]).name], allow_graceful=False
            )
            return
        time.sleep(0.1)
