"""git and dvc in this checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError

# What stages write into git. Jobs do not read the head's.
GENERATED = re.compile(r"(^|/)(results|reports)/|\.lock$")
# How many changed files an error lists.
NAMED = 5


def committed(repository: str | None) -> tuple[str, str]:
    """The repository and commit that jobs check out.

    repository: as the user says; none: origin, or this folder where origin lacks the commit.
    Raises InputError where what jobs would read is not committed.
    """
    lines = _git("status", "--porcelain").splitlines()
    files = [line[3:] for line in lines]  # after two letters and a space
    changed = [file for file in files if not GENERATED.search(file)]
    if changed:
        names = ", ".join(changed[:NAMED])
        if len(changed) > NAMED:
            names += " ..."
        raise InputError(
            f"jobs check out a commit, and {names} differ from it; commit them, or use "
            "--engine local"
        )

    commit = _git("rev-parse", "HEAD").strip()
    if repository:
        return repository, commit
    if _is_pushed():
        return _git("remote", "get-url", "origin").strip(), commit
    return str(Path.cwd()), commit


def dvc(*words: str, check: bool = True) -> None:
    """Runs dvc, its output as it comes. Raises InputError where it fails, unless told otherwise."""
    # The stages that it runs find `python` beside it, whether the environment is activated or not.
    folder = Path(sys.executable).parent
    path = os.pathsep.join([str(folder), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path}

    command = [folder / "dvc", "--wait-for-lock", *words]
    done = subprocess.run(command, env=environment)
    if check and done.returncode:
        raise InputError(f"`dvc {' '.join(words[:3])} ...` failed, see above")


def _is_pushed() -> bool:
    """Whether origin has the present commit."""
    branches = _git("branch", "-r", "--contains", "HEAD").splitlines()
    return any(branch.strip().startswith("origin/") for branch in branches)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    if done.returncode:
        problem = without_secrets(done.stderr.strip())
        raise InputError(
            f"git {' '.join(words)}: {problem}; launch from the root of a git checkout"
        )
    return done.stdout
