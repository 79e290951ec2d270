"""docs/adding-a-method.md, followed step by step in a copy of the repository."""

import json
import re
import shutil

import pytest
from followed_page import blocks_of, copy_of_repository, follow, run, run_stage

PAGE = "adding-a-method.md"

# Enough pictures to train an epoch, as many as `prepared` has. The demo's settings are otherwise
# as they are.
DEMO_PICTURES = r"pictures: \{train: \d+, val: \d+, test: \d+\}"
FEW_PICTURES = "pictures: {train: 96, val: 48, test: 48}"


@pytest.fixture(scope="module")
def followed(prepared, tmp_path_factory):
    """The copy after the page's steps, with a few prepared pictures, and the page's commands."""
    repository = copy_of_repository(tmp_path_factory.mktemp("method"))
    shutil.copytree(prepared / "data" / "digits", repository / "data" / "digits")

    settings = repository / "params.yaml"
    text, replaced = re.subn(DEMO_PICTURES, FEW_PICTURES, settings.read_text())
    assert replaced == 1
    settings.write_text(text)

    return repository, follow(PAGE, repository)


def test_what_is_added_trains_and_is_scored(followed):
    repository, commands = followed
    runs = [re.fullmatch(r"dvc repro dvc\.yaml:evaluate@(.+)-(\d+)", line) for line in commands]
    assert len(runs) == 2 and all(runs)

    run_stage(repository, "dvc.yaml", "code")
    for run_id, seed in (match.groups() for match in runs):
        run_stage(repository, "dvc.yaml", "train", run=run_id, seed=seed)
        run_stage(repository, "dvc.yaml", "evaluate", run=run_id, seed=seed)

        # As plain JSON: this process's settings do not know the new loss.
        path = repository / "results" / "digits" / f"{run_id}-s{seed}.json"
        metrics = json.loads(path.read_text())["measurements"]["best"]["metrics"]
        assert 0 < metrics["mAP"] <= 100
        assert 0 <= metrics["one_error"] <= 100


def test_the_tests_of_the_page_pass(followed):
    repository, _ = followed
    tests = [block.path for block in blocks_of(PAGE) if (block.path or "").startswith("tests/")]
    assert len(tests) == 4
    output = run(repository, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert f"{len(tests)} passed" in output


def test_a_new_metric_has_a_heading_on_the_pages(followed):
    repository, _ = followed
    program = (
        "from mlrepro.metrics.catalogue import DECISION_TABLES; print(DECISION_TABLES[-1].columns)"
    )
    assert run(repository, "-c", program) == "{'one error': 'one_error'}\n"
