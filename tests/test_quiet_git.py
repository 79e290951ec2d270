"""What git shows after the same thing was run again, here or on another machine."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import LINEAR, PICTURES, ROLE, stage
from safetensors.numpy import load_file, save_file

from mlrepro.environments import Environment, read_environment, write_environment


@pytest.fixture(autouse=True)
def inside(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("MLREPRO_TRACKING", "none")


def run_stage(name: str, *arguments: str) -> str:
    """What it printed."""
    return stage(Path.cwd(), name, *arguments).stdout


def files_below(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def output(repository: Path, run_id: str) -> Path:
    return repository / "outputs" / "demo" / "digits" / f"{run_id}-s0"


@pytest.mark.parametrize("run_id", [LINEAR, ROLE, PICTURES])
def test_a_second_training_gives_the_same_files(repository, run_id):
    """All of the folder that DVC takes as a whole; what varies is beside it."""
    trained = output(repository, run_id) / "training"
    folders = []
    for _ in range(2):
        shutil.rmtree(trained, ignore_errors=True)
        run_stage("train", "params.yaml", run_id, "0")
        folders.append(files_below(trained))
    assert folders[0] == folders[1]
    assert {"best.safetensors", "history.csv", "training.json"} <= set(folders[0])

    used = read_environment(trained.with_name("training-environment.json"))
    assert used.train_seconds > 0
    assert used.python


# ---- In git ------------------------------------------------------------------------------------


@pytest.fixture
def reported(repository) -> Path:
    """A repository with a trained and reported run, committed."""
    settings = yaml.safe_load((repository / "params.yaml").read_text()) | {"runs": [LINEAR]}
    (repository / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    run_stage("train", "params.yaml", LINEAR, "0")
    evaluate_and_report()
    run_stage("reference", "params.yaml", "today, this machine, these versions")
    evaluate_and_report()

    ignored = ["/outputs/", "/data/", "/reports/figures/drawn/", "/reports/tables/"]
    (repository / ".gitignore").write_text("\n".join(ignored) + "\n")
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    git(repository, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "made")
    return repository


def evaluate_and_report() -> str:
    run_stage("evaluate", "params.yaml", LINEAR, "0")
    return run_stage("report", "params.yaml")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def changed(repository: Path) -> set[str]:
    return {line[3:] for line in git(repository, "status", "--porcelain").splitlines()}


TABLE = "results/digits/environment.csv"
RECORD = f"results/digits/{LINEAR}-s0.json"
PAGE = "reports/demo.md"


def test_the_same_again_changes_nothing(reported):
    shutil.rmtree(reported / "reports" / "figures" / "drawn")  # draws all figures anew
    evaluate_and_report()
    assert not changed(reported)


def test_another_machine_with_the_same_bits_changes_two_files(reported):
    at_another_machine(reported)
    evaluate_and_report()
    assert changed(reported) == {TABLE, PAGE}

    # On the page, only in the last of the result's sections.
    sections = git(reported, "show", f"HEAD:{PAGE}").split("\n## ")
    present = (reported / PAGE).read_text().split("\n## ")
    differing = [
        before.splitlines()[0]
        for before, after in zip(sections, present, strict=True)
        if before != after
    ]
    assert differing == ["Cost and environment"]


def at_another_machine(repository: Path) -> None:
    path = output(repository, LINEAR) / "training-environment.json"
    write_environment(
        Environment(
            commit="d",
            dirty=True,
            device="CPU (aarch64)",
            precision="float32",
            threads=64,
            python="3.14.0",
            versions={"torch": "9.9"},
            train_seconds=123.4,
            images_per_second=5.0,
            peak_memory_mib=77.0,
        ),
        path,
    )


def perturb_weights(repository: Path, relative: float) -> None:
    """As another order of additions would."""
    generator = np.random.default_rng(0)
    for path in (output(repository, LINEAR) / "training").glob("*.safetensors"):
        state = load_file(path)
        for key, value in state.items():
            noise = generator.choice([-relative, relative], value.shape)
            state[key] = (value * (1 + noise)).astype(value.dtype)
        save_file(state, path)


def test_other_last_bits_change_few_lines(reported):
    """The record may differ in what is continuous, which stands on a line or two."""
    at_another_machine(reported)
    perturb_weights(reported, 1e-7)
    printed = evaluate_and_report()

    assert {TABLE, PAGE} <= changed(reported) <= {TABLE, PAGE, RECORD}
    lines = git(reported, "diff", "-U0", RECORD).splitlines()
    assert len([line for line in lines if line.startswith("-") and "---" not in line]) <= 2
    assert "1 of 1 runs reproduce the reference" in printed


def test_other_numbers_change_their_lines(reported):
    perturb_weights(reported, 0.5)
    evaluate_and_report()
    differing = {path for path in changed(reported) if "figures" not in path}
    assert {PAGE, RECORD} <= differing <= {TABLE, PAGE, RECORD, "reports/README.md"}

    # Settings, history and identity are as they were.
    lines = git(reported, "diff", "-U0", RECORD).splitlines()
    assert not [line for line in lines if '"epoch":' in line and '"lr"' in line]
    assert not [line for line in lines if '"settings_sha256"' in line or '"optimizer"' in line]
