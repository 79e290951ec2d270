"""Places that are not a clone in a home folder: what is run there goes on, and says what it lacks.

The programs, repositories and file systems are real ones.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CNN, LINEAR, ROOT, run_settings, small_disk, stage, stage_process, write_yaml

from mlrepro.environments import read_environment
from mlrepro.provenance import git_state, in_git, missing_commit

BIN = Path(sys.executable).parent


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=t", "-c", "user.email=t@t")
    command = ["git", *author, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# ---- The commit --------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A repository of one commit with a folder of code; the present folder."""
    folder = tmp_path / "checkout"
    (folder / "stages").mkdir(parents=True)
    (folder / "stages" / "train.py").write_text("print(1)\n")
    (folder / "params.yaml").write_text("seeds: [0]\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    monkeypatch.chdir(folder)
    return folder


def test_a_commit_and_whether_code_differs_from_it(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state() == (commit, False)
    assert missing_commit(commit) is None

    (checkout / "params.yaml").write_text("seeds: [1]\n")
    assert git_state() == (commit, False)
    (checkout / "stages" / "train.py").write_text("print(2)\n")
    assert git_state() == (commit, True)


def test_a_shallow_clone_and_a_second_worktree_have_their_commit(checkout, tmp_path, monkeypatch):
    (checkout / "stages" / "train.py").write_text("print(2)\n")
    git(checkout, "commit", "-qam", "two")
    git(tmp_path, "clone", "-q", "--depth", "1", checkout.as_uri(), "shallow")
    git(checkout, "worktree", "add", "-q", "--detach", str(tmp_path / "second"))

    for place in ("shallow", "second"):
        monkeypatch.chdir(tmp_path / place)
        assert git_state() == (git(checkout, "rev-parse", "HEAD"), False)


def without_program(checkout: Path, monkeypatch) -> None:
    (checkout / "no programs").mkdir()
    monkeypatch.setenv("PATH", str(checkout / "no programs"))


def without_repository(checkout: Path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    shutil.rmtree(checkout / ".git")


def inside_another_repository(checkout: Path, monkeypatch) -> None:
    """A zip file that was unpacked below a folder which is itself kept in git."""
    shutil.rmtree(checkout / ".git")
    (checkout.parent / "notes.txt").write_text("of another project\n")
    git(checkout.parent, "init", "-q")
    git(checkout.parent, "add", "notes.txt")
    git(checkout.parent, "commit", "-qm", "another project")


def of_another_user(checkout: Path, monkeypatch) -> None:
    if os.geteuid() == 0:
        os.chown(checkout, 65534, 65534)
        os.chown(checkout / ".git", 65534, 65534)
    else:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for its tests


def before_the_first_commit(checkout: Path, monkeypatch) -> None:
    shutil.rmtree(checkout / ".git")
    git(checkout, "init", "-q")
    git(checkout, "add", "-A")


def with_broken_settings(checkout: Path, monkeypatch) -> None:
    (checkout / ".git" / "config").write_text("[core\n")


@pytest.mark.parametrize(
    ("change", "reason", "remedy"),
    [
        (without_program, "no git program", "install git"),
        (without_repository, "no git checkout", "a zip file has none"),
        (inside_another_repository, "no git checkout", "a zip file has none"),
        (of_another_user, "another user's checkout", "--add safe.directory {folder}`"),
        (before_the_first_commit, "nothing is committed", "commit it"),
        (with_broken_settings, "git fails", "`git status` in {folder} says why"),
    ],
)
def test_why_there_is_no_commit(checkout, monkeypatch, change, reason, remedy):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")  # git's messages are read in English
    monkeypatch.delenv("SUDO_UID", raising=False)  # whose checkouts git trusts as well
    change(checkout, monkeypatch)

    commit, differs = git_state()
    assert (commit, differs) == (f"unknown: {reason}", None)
    note = missing_commit(commit)
    assert note.startswith(f"note: the record names no commit ({reason}); ")
    assert remedy.format(folder=checkout) in note
    if change is not before_the_first_commit:  # what is staged is in git
        assert in_git(Path("stages/train.py")) is None


# ---- A zip file instead of a clone -------------------------------------------------------------


@pytest.mark.parametrize("below_another_repository", [False, True])
def test_make_repro_in_a_zip_file_that_was_unpacked(tmp_path, below_another_repository):
    """DVC, which wants git, is told; one stage and the page stand for all.

    The page is another one each time that it is made, as seconds are: still all is up to date.
    """
    if below_another_repository:
        git(tmp_path, "init", "-q")
    folder = tmp_path / "mlrepro-main"
    (folder / ".dvc").mkdir(parents=True)
    shutil.copytree(ROOT / "stages", folder / "stages")
    for name in (".dvc/config", ".dvc/.gitignore", "Makefile", "params.yaml", "reported.csv"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("src", "runs"):
        (folder / name).symlink_to(ROOT / name)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    page = {
        "cmd": f"{stages['report']['cmd']} && date +%s%N >> reports/demo.md",
        "outs": stages["report"]["outs"],
    }
    write_yaml(folder / "dvc.yaml", {"stages": {"download": stages["download"], "report": page}})

    # To make, it is installed; the environment is this one.
    for name in ("pyproject.toml", "constraints.txt", ".venv/base"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()

    environment = os.environ | {
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    done = subprocess.run(
        ["make", "repro"], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "data" / "digits" / "archives.json").is_file()
    assert (folder / "dvc.lock").is_file()
    assert "report: reports/demo.md" in done.stdout

    again = subprocess.run(
        ["dvc", "repro", "--dry"], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert "up to date" in again.stdout, again.stdout + again.stderr


# ---- Everything odd at once --------------------------------------------------------------------


@pytest.fixture
def odd_folder(repository, tmp_path) -> Path:
    """The repository in a folder whose name has spaces, quotes and letters that are not ASCII."""
    folder = tmp_path / "my work, é 'of' $HOME"
    repository.rename(folder)
    write_yaml(folder / "runs" / f"{CNN}.yaml", run_settings(CNN, epochs=1))
    settings = yaml.safe_load((folder / "params.yaml").read_text()) | {"runs": [LINEAR, CNN]}
    write_yaml(folder / "params.yaml", settings)
    return folder


@pytest.mark.parametrize("run_id", [LINEAR, CNN])
def test_odd_surroundings_change_no_bit(odd_folder, tmp_path, run_id):
    """ASCII as the locale, no home, no room for temporary files, no programs, files of the future.

    One training, evaluation and page in all of these, and one in none.
    """
    odd = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PATH": str(tmp_path / "no programs"),
        "HOME": str(tmp_path / "read-only"),
        "XDG_CACHE_HOME": "",
        "TMPDIR": str(tmp_path / "full"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT / "src"),
    }
    output = odd_folder / "outputs" / "demo" / "digits" / f"{run_id}-s0"
    record = odd_folder / "results" / "digits" / f"{run_id}-s0.json"
    files = [output / "training" / "best.safetensors", output / "logits.safetensors", record]

    for name, *arguments in stages_of(run_id):
        stage(odd_folder, name, *arguments)
    usual = [file.read_bytes() for file in files]
    for folder in ("outputs", "results", "reports", ".checkpoints"):
        shutil.rmtree(odd_folder / folder)

    for path in odd_folder.rglob("*"):
        os.utime(path, (2**33, 2**33))  # in 2242
    with small_disk(tmp_path / "read-only", 2**16, "ro"), small_disk(tmp_path / "full", 2**12):
        (tmp_path / "full" / "all there is").write_bytes(bytes(2**12))
        printed = ""
        for name, *arguments in stages_of(run_id):
            done = stage_process(odd_folder, name, *arguments, **odd)
            printed += done.stdout + done.stderr

    assert [file.read_bytes() for file in files] == usual
    assert "Traceback" not in printed
    assert "note: the record names no commit (no git program); install git" in printed
    used = read_environment(output / "environment.json")
    assert (used.commit, used.dirty) == ("unknown: no git program", None)
    page = (odd_folder / "reports" / "demo.md").read_text(encoding="utf-8")
    assert "unknown: no git program" in page
    assert "uncommitted changes" not in page


def stages_of(run_id: str) -> list[tuple[str, ...]]:
    """Names and arguments, in their order."""
    return [
        ("train", "params.yaml", run_id, "0"),
        ("evaluate", "params.yaml", run_id, "0"),
        ("report", "params.yaml"),
    ]


# ---- Other Pythons -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["py311", "py312", "py313", "py314"])
def test_all_files_are_of_the_grammar_of_every_python_that_is_promised(version):
    """Ruff knows the grammar of each; no such interpreter has to be here."""
    options = ("--isolated", "--no-cache", "--select", "E9", "--target-version", version)
    folders = ("src", "stages", "studies", "benchmarks", "tests")
    command = [sys.executable, "-m", "ruff", "check", *options, *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
