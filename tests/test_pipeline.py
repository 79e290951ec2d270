"""The pipeline as DVC runs it: a real repository in a temporary folder, from the archive to the report."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import LINEAR, ROLE, ROOT, run_settings, stage, write_yaml

from mlrepro.training.checkpoint import CODE

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


@pytest.mark.parametrize("path", sorted([ROOT / "dvc.yaml", *ROOT.glob("studies/**/dvc.yaml")]), ids=lambda it: it.parent.name)
def test_what_an_evaluate_stage_runs_is_what_it_depends_on(path):
    """The code that trains: as folders of its own, or through the training.json of a train stage that names them."""
    stages, code = yaml.safe_load(path.read_text()).get("stages", {}), {f"src/mlrepro/{name}" for name in CODE if "." not in name}
    if "evaluate" not in stages:
        return
    own, train = set(stages["evaluate"]["deps"]), stages.get("train", {"deps": [], "outs": []})
    trained = {out for out in train["outs"] if out.endswith("/training.json")} & own
    assert code <= (set(train["deps"]) if trained else own)
    assert {"stages/evaluate.py", "src/mlrepro/evaluation.py"} <= own


def test_pages_of_several_pipelines_in_one_command(repository):
    """The same bytes as one after the other; what is wrong with one of them ends neither the others nor the index."""
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    for study in ("first", "second"):
        write_yaml(repository / "studies" / study / "params.yaml", settings)
        shutil.copytree(repository / "runs", repository / "studies" / study / "runs")
        stage(repository, "report", f"studies/{study}/params.yaml")
    names = ("README.md", "first.md", "second.md")
    before = [(repository / "reports" / name).read_bytes() for name in names]
    for name in names:
        (repository / "reports" / name).unlink()
    (repository / "results" / "digits").mkdir(parents=True)
    (repository / "results" / "digits" / f"{LINEAR}-s0.json").write_text("{}")
    every = [f"studies/{study}/params.yaml" for study in ("first", "second")]
    done = stage(repository, "report", "params.yaml", *every, check=False)
    assert done.returncode == 1 and f"{LINEAR}-s0.json: not a result record" in done.stderr
    assert [(repository / "reports" / name).read_bytes() for name in names] == before


def test_the_lock_file_matches_the_tree(tmp_path):
    """A fresh clone of the last commit has nothing to run again: code, settings and recorded results belong together."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    run(tmp_path, "git", "clone", "-q", str(ROOT), "clone")
    assert "up to date" in run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing")
