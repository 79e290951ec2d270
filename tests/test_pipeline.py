"""The pipeline as DVC runs it: a real repository in a temporary folder, from the archive to the report."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import LINEAR, ROLE, ROOT, run_settings, write_yaml

BIN = os.path.dirname(sys.executable)
ENVIRONMENT = {**os.environ, "PATH": BIN + os.pathsep + os.environ["PATH"], "DVC_NO_ANALYTICS": "true"}


def run(folder, *command: str, check: bool = True) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    assert not (check and done.returncode), f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def commit(folder) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "state")


@pytest.fixture
def dvc_repository(prepared, tmp_path):
    """The checkout's code and stages, small settings, nothing run yet."""
    folder = tmp_path / "repository"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(prepared / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    settings = yaml.safe_load((prepared / "params.yaml").read_text()) | {"runs": [LINEAR, ROLE]}
    write_yaml(folder / "params.yaml", settings)
    for run_id in (LINEAR, ROLE):
        write_yaml(folder / "runs" / f"{run_id}.yaml", run_settings(run_id, epochs=2))
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    commit(folder)
    return folder


def test_from_archive_to_report_and_what_a_change_runs_again(dvc_repository, tmp_path):
    folder = dvc_repository
    run(folder, "dvc", "repro")
    page = (folder / "reports" / "demo.md").read_text()
    assert LINEAR in page and ROLE in page and (folder / "reports" / "README.md").is_file()
    assert len(list((folder / "results" / "digits").glob("*.json"))) == 2
    assert "Data and pipelines are up to date" in run(folder, "dvc", "repro")

    commit(folder)
    run(tmp_path, "git", "clone", "-q", str(folder), "clone")
    assert "up to date" in run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing")

    # A comment in a run file trains nothing; a setting changes that run and the report.
    path = folder / "runs" / f"{ROLE}.yaml"
    path.write_text("# a comment\n" + path.read_text())
    assert "Running stage 'train@" not in run(folder, "dvc", "repro", "--dry")
    write_yaml(path, run_settings(ROLE, epochs=3))
    stages = [line for line in run(folder, "dvc", "repro").splitlines() if line.startswith("Running stage")]
    assert stages == [f"Running stage '{name}':" for name in (f"train@{ROLE}-0", f"evaluate@{ROLE}-0", "report")]

    # A failed run keeps its row but not its old number, and the other records stay in the report.
    write_yaml(path, run_settings(ROLE, loss={"name": "role", "expected_positives": 99}))  # of 10 labels
    run(folder, "dvc", "repro", "-k", check=False)
    run(folder, "dvc", "repro", "-s", "report")
    page = (folder / "reports" / "demo.md").read_text()
    assert f"evaluate@{ROLE}-0" in page and f"evaluate@{LINEAR}-0" not in page


def test_the_lock_file_matches_the_tree(tmp_path):
    """A fresh clone of the last commit has nothing to run again: code, settings and recorded results belong together."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    run(tmp_path, "git", "clone", "-q", str(ROOT), "clone")
    assert "up to date" in run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing")
