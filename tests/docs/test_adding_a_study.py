"""docs/adding-a-study.md, followed step by step in a copy of the repository."""

import pytest
import yaml
from followed_page import copy_of_repository, follow, run, run_stage

from mlrepro.studies.checks import check_reported, check_study

RUN = "linear-bce-resnet18-voc2012-224"
STUDY_PAGE = "studies/toy/dvc.yaml"
PIPELINE = "studies/toy/voc2012/dvc.yaml"


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The copy after the page's steps and its own commands, and all commands of the page."""
    repository = copy_of_repository(tmp_path_factory.mktemp("study"))
    commands = follow("adding-a-study.md", repository)

    assert "python studies/pipelines.py" in commands
    run(repository, "studies/pipelines.py")
    return repository, commands


def test_the_files_agree_with_each_other(followed):
    repository, _ = followed
    check_reported(repository / "studies" / "toy" / "reported.csv")
    check_study(repository / "studies" / "toy")


def test_the_page_has_the_printed_row(followed):
    repository, commands = followed
    assert f"dvc repro {STUDY_PAGE}" in commands
    run_stage(repository, STUDY_PAGE, "complexity")
    run_stage(repository, STUDY_PAGE, "report")

    page = (repository / "reports" / "toy.md").read_text()
    rows = [line for line in page.splitlines() if "Frozen ResNet-18" in line]
    row, number = rows  # of its table, and of the list of every number
    assert "81.3" in row and "not-run" in row
    assert "81.3" in number and "| not run" in number
    assert f"{PIPELINE}:evaluate@{RUN}-0" in page


def test_the_runs_have_their_stages(followed):
    repository, commands = followed
    assert f"dvc repro {PIPELINE}" in commands
    stages = yaml.safe_load((repository / PIPELINE).read_text())["stages"]
    assert stages["train"]["matrix"] == {"run": "${runs}", "seed": "${seeds}"}
    assert "data/voc2012/features/resnet18-224.safetensors" in stages["extract"]["outs"]


def test_the_plan_counts_its_training(followed):
    repository, commands = followed
    settings = "studies/toy/voc2012/params.yaml"
    assert f"mlrepro plan {settings}" in commands

    program = "from mlrepro_cli.main import main; main()"
    output = run(repository, "-c", program, "plan", settings)
    assert output.startswith(f"{settings}: 1 trainings, 0 done")
