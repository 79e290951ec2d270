"""The pipeline as DVC runs it: a real repository in a temporary folder, from the archive to the report."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import LINEAR, ROLE, ROOT, run_settings, stage, write_yaml

from mlrepro.layout import read_layout
from mlrepro.training.checkpoint import CODE

CODES = "train", "evaluate"
BIN = os.path.dirname(sys.executable)
ENVIRONMENT = {
    **os.environ,
    "PATH": BIN + os.pathsep + os.environ["PATH"],
    "DVC_NO_ANALYTICS": "true",
}


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
    shutil.copytree(
        prepared / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__")
    )
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

    # A comment in the code or in a run file trains nothing; a setting changes that run and the report.
    code = folder / "src" / "mlrepro" / "losses" / "binary.py"
    code.write_text("# a comment\n" + code.read_text())
    done = run(folder, "dvc", "repro")
    assert "Running stage 'code-train'" in done and "Running stage 'train@" not in done
    path = folder / "runs" / f"{ROLE}.yaml"
    path.write_text("# a comment\n" + path.read_text())
    assert "Running stage 'train@" not in run(folder, "dvc", "repro", "--dry")
    write_yaml(path, run_settings(ROLE, epochs=3))
    stages = [
        line
        for line in run(folder, "dvc", "repro").splitlines()
        if line.startswith("Running stage")
    ]
    assert stages == [
        f"Running stage '{name}':" for name in (f"train@{ROLE}-0", f"evaluate@{ROLE}-0", "report")
    ]

    # A failed run keeps its row but not its old number, and the other records stay in the report.
    write_yaml(
        path, run_settings(ROLE, loss={"name": "role", "expected_positives": 99})
    )  # of 10 labels
    run(folder, "dvc", "repro", "-k", check=False)
    run(folder, "dvc", "repro", "-s", "report")
    page = (folder / "reports" / "demo.md").read_text()
    assert f"evaluate@{ROLE}-0" in page and f"evaluate@{LINEAR}-0" not in page


def test_digests_are_of_the_code_that_stages_run():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    code = {
        "train": {"stages/train.py", *(f"src/mlrepro/{name}" for name in CODE if "." not in name)},
        "evaluate": {"stages/evaluate.py", "src/mlrepro/evaluation.py"},
    }
    for name, paths in code.items():
        of = stages[f"code-{name}"]
        assert of["cmd"].split()[:3] == ["python", "stages/code.py", f"outputs/code/{name}.json"]
        assert (
            set(of["cmd"].split()[3:])
            == paths
            == set(of["deps"]) - {"stages/code.py", "src/mlrepro/provenance.py"}
        )


@pytest.mark.parametrize(
    "path",
    sorted([ROOT / "dvc.yaml", *ROOT.glob("studies/**/dvc.yaml")]),
    ids=lambda it: it.parent.name,
)
def test_a_pipeline_depends_on_the_code_it_runs_and_keeps_files_where_the_layout_says(
    path, monkeypatch
):
    """An evaluate stage on the code that trains through its training, whose training.json has the digests, or by itself."""
    stages, train, evaluate = (
        yaml.safe_load(path.read_text()).get("stages", {}),
        *(f"outputs/code/{n}.json" for n in CODES),
    )
    if "evaluate" not in stages:
        return
    monkeypatch.chdir(ROOT)
    layout = read_layout(path.with_name("params.yaml").relative_to(ROOT))
    trained, logits, record = (
        each("${item.run}", "${item.seed}").as_posix()
        for each in (
            layout.trained,
            lambda *run: layout.output(*run) / "logits.safetensors",
            layout.record,
        )
    )

    def lines(name: str, kind: str) -> list[str]:
        return [
            str(one if isinstance(one, str) else next(iter(one))).replace("${name}", layout.name)
            for one in stages.get(name, {}).get(kind, ())
        ]

    assert evaluate in lines("evaluate", "deps") and lines("evaluate", "outs") == [logits, record]
    assert {trained, train} & {*lines("evaluate", "deps")}
    if "train" in stages:
        assert (
            train in lines("train", "deps")
            and lines("train", "outs") == [trained]
            and trained in lines("evaluate", "deps")
        )
    if "search" in stages:
        assert {train, evaluate, "stages/search.py"} <= {*lines("search", "deps")}


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
