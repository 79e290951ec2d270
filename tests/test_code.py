"""Which code a run depends on: what acts otherwise counts, a comment or another run's loss not."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache

import forks
import pytest
from conftest import LINEAR, PICTURES, ROOT, run_settings

from mlrepro import code
from mlrepro.code import code_digest
from mlrepro.settings.run import Run

SOURCE = (
    '"""A module."""\n\nimport os\n\n\ndef f(a):\n    """Doubles."""\n    return 2 * a  # twice\n'
)

WITHOUT_EFFECT = [
    ("A module.", "Of two."),
    ("Doubles.", "2 a"),
    ('    """Doubles."""\n', ""),
    ("  # twice", ""),
    ("import os\n\n", "import os\n\n\n"),
    ("2 * a", "(2 *\n        a)"),
]
WITH_EFFECT = [
    ("2 * a", "2 + a"),
    ("2 * a", '"2 * a"'),
    ("import os", "import sys"),
    ("f(a)", "f(a, b=1)"),
]


def digest_of(tmp_path, source: str) -> str:
    path = tmp_path / "a.py"
    path.write_text(source)
    return code_digest(path)


@pytest.mark.parametrize("change", WITHOUT_EFFECT)
def test_comments_docstrings_and_layout_do_not_count(tmp_path, change):
    changed = SOURCE.replace(*change)
    assert changed != SOURCE
    assert digest_of(tmp_path, changed) == digest_of(tmp_path, SOURCE)


@pytest.mark.parametrize("change", WITH_EFFECT)
def test_what_acts_otherwise_counts(tmp_path, change):
    assert digest_of(tmp_path, SOURCE.replace(*change)) != digest_of(tmp_path, SOURCE)


# ---- What a run imports ------------------------------------------------------------------------

PRINT_CODES = """
import json, sys
from pathlib import Path
from mlrepro.code import evaluation_code, training_code
from mlrepro.settings.run import Run
runs = json.loads(sys.argv[1])
codes = {name: training_code(Run.model_validate(values)) for name, values in runs.items()}
print(json.dumps(codes | {"evaluation": evaluation_code()}))
"""
RUNS = {
    "bce": run_settings(LINEAR),
    "asl": run_settings(LINEAR, loss={"name": "asl"}),
    "an": run_settings(LINEAR, labels="single", loss={"name": "an"}),
    "gap": run_settings("gap-asl-test_resnet-digits-32", loss={"name": "asl"}),
    "csra": run_settings("csra-bce-test_resnet-digits-32"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package that a test may edit."""
    folder = tmp_path_factory.mktemp("code")
    shutil.copytree(
        ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return folder / "src"


def codes_of(package) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_CODES, json.dumps(RUNS)],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@cache
def unchanged_codes(package) -> dict[str, dict[str, str]]:
    """Of the package as every test leaves it, too."""
    return codes_of(package)


def stale_after(package, path: str, old: str, new: str) -> set[str]:
    """Names of the runs whose code is another after an edit of the package, which is taken back."""
    before = unchanged_codes(package)
    file = package / "mlrepro" / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    try:
        after = codes_of(package)
    finally:
        file.write_text(text)
    return {name for name in before if before[name] != after[name]}


def test_editing_a_loss_makes_its_own_runs_stale(package):
    old = "gamma_neg"
    assert stale_after(package, "losses/asymmetric.py", old, "gamma_negative") == {"asl", "gap"}


def test_editing_a_head_makes_its_own_runs_stale(package):
    assert stale_after(package, "models/heads/csra.py", "def forward", "def forwards") == {"csra"}


def test_adding_a_loss_makes_nothing_stale(package):
    module = package / "mlrepro" / "losses" / "toy.py"
    module.write_text("def toy(logits, targets):\n    return (logits * targets).sum()\n")
    line = '    "toy": LossEntry(function="toy:toy"),\n'
    try:
        assert (
            stale_after(package, "losses/catalogue.py", '    "asl":', f'{line}    "asl":') == set()
        )
    finally:
        module.unlink()


def test_editing_the_training_loop_makes_every_run_stale(package):
    stale = stale_after(package, "training/fit.py", "def fit(", "def fit_anew(")
    assert set(RUNS) <= stale


def test_pages_and_tracking_are_no_part_of_it(package):
    for path in ("report/tables.py", "tracking/store.py", "judging.py"):
        before = (package / "mlrepro" / path).read_text()
        assert stale_after(package, path, before[-1], before[-1] + "EXTRA = 1\n") == set(), path


def test_a_default_that_changes_counts_and_a_new_option_does_not(package):
    changed = stale_after(
        package, "settings/losses.py", "gamma_neg: float = 4.0", "gamma_neg: float = 3.0"
    )
    assert changed == {"asl", "gap"}
    option = "    brand_new: bool = False\n    variant: str | None = None"
    assert (
        stale_after(package, "settings/run.py", "    variant: str | None = None", option) == set()
    )


LOADED = """
import json, sys
sys.argv = ["stages/train.py", "params.yaml", sys.argv[1], "0"]
sys.path.insert(0, "stages")
import runpy
runpy.run_path("stages/train.py", run_name="__main__")
print("LOADED " + json.dumps([name for name in sys.modules if name.partition(".")[0] == "mlrepro"]))
"""


@pytest.mark.parametrize("run_id", [LINEAR, PICTURES])
def test_the_reading_of_imports_misses_none_that_a_training_loads(repository, run_id):
    output = forks.run("-c", LOADED, run_id, folder=repository)
    loaded = json.loads(output.rpartition("LOADED ")[2])

    run = Run.model_validate(run_settings(run_id))
    with_effect = {module for module in loaded if not code._without_effect(module)}
    assert with_effect <= code.training_code(run).keys()


def test_a_search_depends_on_all_of_its_grid():
    run = Run(
        data="made_up",
        inputs="features",
        head="linear",
        backbone="resnet50",
        weights="none",
        resolution=224,
        loss={"name": "ridge", "penalty": 1.0},
        epochs=1,
        batch_size=2,
    )
    modules = code.search_code([run])
    for name in ("closed_form", "search", "stack", "tabulated", "outcome"):
        assert f"mlrepro.training.grid.{name}" in modules
    assert "mlrepro.losses.ridge" in modules
