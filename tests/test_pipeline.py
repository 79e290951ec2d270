"""The pipeline as DVC runs it, from the archive to the report.

A real repository in a temporary folder. What each stage depends on is tests/test_pipelines.py's.
"""

import csv
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import DVC_ENVIRONMENT, LINEAR, ROLE, ROOT, init_dvc, run_settings, stage, write_yaml


def run(folder, *command: str, check: bool = True) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=DVC_ENVIRONMENT)
    assert not (check and done.returncode), f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def commit(folder) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "state")


@pytest.fixture
def dvc_repository(prepared, tmp_path):
    """The checkout's code and stages, small settings, nothing run yet."""
    folder = tmp_path / "repository"
    not_compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", folder / "src", ignore=not_compiled)
    shutil.copytree(prepared / "stages", folder / "stages", ignore=not_compiled)
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)

    settings = yaml.safe_load((prepared / "params.yaml").read_text()) | {"runs": [LINEAR, ROLE]}
    write_yaml(folder / "params.yaml", settings)
    for run_id in (LINEAR, ROLE):
        write_yaml(folder / "runs" / f"{run_id}.yaml", run_settings(run_id, epochs=2))
    write_reference(folder / "reported.csv")

    run(folder, "git", "init", "-q")
    init_dvc(folder)
    commit(folder)
    return folder


def write_reference(path) -> None:
    """What one of the runs gave once."""
    row = {
        "table": "reference",
        "row": LINEAR,
        "run": LINEAR,
        "data_set": "digits",
        "backbone": "efficientnet_lite0",
        "resolution": "32",
        "metric": "mAP",
        "printed": "29.24",
        "number": "29.24",
        "source": "this test",
        "checked": "yes",
    }
    with (ROOT / "reported.csv").open(newline="") as file:
        columns = csv.DictReader(file).fieldnames

    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerow(row)


def stages_run(output: str) -> list[str]:
    """Names of the stages that DVC says it runs."""
    return re.findall(r"Running stage '(.+)'", output)


def test_from_archive_to_report(dvc_repository, tmp_path):
    folder = dvc_repository
    run(folder, "dvc", "repro")

    page = (folder / "reports" / "demo.md").read_text()
    assert LINEAR in page and ROLE in page
    assert (folder / "reports" / "README.md").is_file()
    assert len(list((folder / "results" / "digits").glob("*.json"))) == 2
    assert "Data and pipelines are up to date" in run(folder, "dvc", "repro")

    # Another machine's seconds beside the same records are nothing new.
    environments = folder / "results" / "digits" / "environment.csv"
    environments.write_text(environments.read_text().replace("CPU", "another"))
    assert "another" in environments.read_text()
    assert "Data and pipelines are up to date" in run(folder, "dvc", "repro")

    # What is committed is enough to know that nothing is to do, without the data.
    commit(folder)
    run(tmp_path, "git", "clone", "-q", str(folder), "clone")
    dry = run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing")
    assert "up to date" in dry

    # A comment in the code or in a run file trains nothing; the page says what is in run files.
    code = folder / "src" / "mlrepro" / "losses" / "binary.py"
    code.write_text("# a comment\n" + code.read_text())
    run_file = folder / "runs" / f"{ROLE}.yaml"
    run_file.write_text("# a comment\n" + run_file.read_text())
    assert stages_run(run(folder, "dvc", "repro")) == ["code", "report"]

    # A setting changes that run and the report.
    write_yaml(run_file, run_settings(ROLE, epochs=3))
    changed = ["code", f"train@{ROLE}-0", f"evaluate@{ROLE}-0", "report"]
    assert stages_run(run(folder, "dvc", "repro")) == changed

    # A failed run keeps its row but not its old number, and the other records stay in the report.
    more_than_there_are_labels = {"name": "role", "expected_positives": 99}
    write_yaml(run_file, run_settings(ROLE, loss=more_than_there_are_labels))
    run(folder, "dvc", "repro", "-k", check=False)
    run(folder, "dvc", "repro", "-s", "report")
    page = (folder / "reports" / "demo.md").read_text()
    assert f"evaluate@{ROLE}-0" in page
    assert f"evaluate@{LINEAR}-0" not in page


def test_pages_of_several_pipelines_in_one_command(repository):
    """The same bytes as one after the other.

    What is wrong with one of them ends neither the others nor the index.
    """
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    for study in ("first", "second"):
        write_yaml(repository / "studies" / study / "params.yaml", settings)
        shutil.copytree(repository / "runs", repository / "studies" / study / "runs")
        stage(repository, "report", f"studies/{study}/params.yaml")

    names = ("README.md", "first.md", "second.md")
    pages = [repository / "reports" / name for name in names]
    before = [page.read_bytes() for page in pages]
    for page in pages:
        page.unlink()

    # The root's records are wrong; its page is the one that fails.
    results = repository / "results" / "digits"
    results.mkdir(parents=True)
    (results / f"{LINEAR}-s0.json").write_text("{}")

    studies = [f"studies/{study}/params.yaml" for study in ("first", "second")]
    done = stage(repository, "report", "params.yaml", *studies, check=False)
    assert done.returncode == 1
    assert f"{LINEAR}-s0.json: not a result record" in done.stderr
    assert [page.read_bytes() for page in pages] == before


def test_the_lock_file_matches_the_tree(tmp_path):
    """A fresh clone of the last commit has nothing to run again.

    Code, settings and recorded results belong together.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    run(tmp_path, "git", "clone", "-q", str(ROOT), "clone")
    dry = run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing")
    assert "up to date" in dry
