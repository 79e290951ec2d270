"""A small repository of its own for each test that runs stages.

The stages and settings are the real ones; pictures and epochs are few.
"""

import gc
import io
import os
import runpy
import shutil
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from forks import status_at_end

from mlrepro import extras
from mlrepro.data.fetching import web

ROOT = Path(__file__).resolve().parents[1]

# Of every stage that a test runs: MLflow is for tests/test_tracking.py, which turns it on.
os.environ.setdefault("MLREPRO_TRACKING", "none")

# The runs of the small repository.
LINEAR = "linear-bce-efficientnet_lite0-digits-32"
ROLE = "linear-role-efficientnet_lite0-digits-single-32"
PICTURES = "gap-bce-test_resnet-digits-32"
# On pictures with a network of our own: a process that trains it need not import timm.
CNN = "gap-bce-small_cnn_narrow-digits-32"

# Half a unit of the last of the six digits that a record keeps of a measured number.
SIX_DIGITS = 5e-6


def run_settings(run_id: str, **changes) -> dict:
    """Settings of one of the three small runs, or of one like them."""
    head, loss_name, backbone, *_ = run_id.split("-")
    on_features = head == "linear"
    loss = {"name": loss_name}
    if loss_name == "role":
        loss["expected_positives"] = "validation"

    settings = {
        "data": "digits",
        "labels": "single" if "single" in run_id else "full",
        "head": head,
        "backbone": backbone,
        "inputs": "features" if on_features else "images",
        "weights": "package" if on_features else "none",
        "resolution": 32,
        "loss": loss,
        "optimizer": {"name": "adam", "lr": 1e-3},
        "epochs": 3,
        "batch_size": 16,
    }
    return settings | changes


def write_yaml(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def stage_process(
    repository: Path, name: str, *arguments: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess:
    """Runs one stage script in `repository` as DVC does. check: it must succeed."""
    command = [sys.executable, f"stages/{name}.py", *arguments]
    done = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return _checked(done) if check else done


def stage(
    repository: Path, name: str, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess:
    """The same in this process, which has imported torch already."""
    command = [f"stages/{name}.py", *arguments]
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    status = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.chdir(repository)
        patch.setattr(sys, "argv", command)
        patch.syspath_prepend(repository / "stages")  # Python itself puts it there
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            status = status_at_end(end)
        except Exception:
            status = 1
            traceback.print_exc()

    texts = []
    for stream in (output, errors):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    done = subprocess.CompletedProcess(command, status, *texts)
    return _checked(done) if check else done


def _checked(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    if done.returncode:
        raise AssertionError(f"{' '.join(done.args)} failed:\n{done.stdout}\n{done.stderr}")
    return done


def stage_functions(name: str) -> dict:
    """What one stage script defines, without running it."""

    def no_main(stage, *names) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlrepro.stage.main", no_main)
        return runpy.run_path(str(ROOT / "stages" / f"{name}.py"))


# What is imported and collected stays: to look for garbage in it takes a fifth of the collection.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are called as their argument, and numbered.

    What is compressed holds the time of day, and all of pytest's processes must call a test alike.
    """
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A repository whose digits are prepared, corrupted and extracted.

    Copy it before changing it (`repository`).
    """
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(ROOT / "stages", folder / "stages")
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")

    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["data"]["digits"]["pictures"] = {"train": 96, "val": 48, "test": 48}
    settings["features"]["resolution"] = 32
    settings["runs"] = [LINEAR, ROLE, PICTURES]
    write_yaml(folder / "params.yaml", settings)
    for run_id in settings["runs"]:
        write_yaml(folder / "runs" / f"{run_id}.yaml", run_settings(run_id))

    stage(folder, "download", "params.yaml", "digits")
    stage(folder, "prepare", "params.yaml", "digits")
    stage(folder, "corrupt", "params.yaml")
    stage(folder, "extract", "params.yaml")
    return folder


@pytest.fixture
def repository(prepared, tmp_path) -> Path:
    shutil.copytree(prepared, tmp_path / "repository")
    return tmp_path / "repository"


# Of a process of DVC: the stages that it runs find this environment's `python` first.
DVC_ENVIRONMENT = {
    **os.environ,
    "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
    "DVC_NO_ANALYTICS": "true",
}


def init_dvc(folder: Path, remote: str = "", scm: bool = True) -> None:
    """What `dvc init` and `dvc remote add -d storage` write, without a process of DVC for each.

    remote: its folder, absolute or as seen from `.dvc`. scm: whether git keeps the repository.
    """
    config = "[core]\n    analytics = false\n"
    if not scm:
        config += "    no_scm = true\n"
    if remote:
        config += f"    remote = storage\n['remote \"storage\"']\n    url = {remote}\n"
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(config)
    shutil.copy(ROOT / ".dvc" / ".gitignore", folder / ".dvc")


@contextmanager
def small_disk(folder: Path, size: int, options: str = "rw"):
    """A file system of `size` bytes at `folder`. Skips the test where this user may mount none."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = f"size={size},{options}"
    command = ["mount", "-t", "tmpfs", "-o", settings, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no `mount` here, and so no small disk")
    if done.returncode:
        pytest.skip(f"no small disk here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


# Seconds for what another process or a server does: many, for the machine may be busy.
PATIENCE = 300


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A store of MLflow, which takes seconds to make one."""
    from mlflow import MlflowClient  # here: most tests do without

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def skip_without(extra: str) -> None:
    """Skips the test where an extra is not installed, and says how it can be."""
    absent = extras.missing(extra)
    if absent:
        command = extras.install_command(extra)
        pytest.skip(f"{', '.join(absent)} not installed: {command}")


@contextmanager
def serving(handler, monkeypatch):
    """A server on loopback in a thread, and downloads that do not wait before they try again.

    `server.released` ends what a handler holds back, also when the test ends.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(web, "BACKOFF", 0)
    monkeypatch.setattr(handler, "log_message", lambda *_: None)

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.released = threading.Event()
    server.handle_error = lambda *_: None  # of a client that was killed
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server

    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()
