"""Where numbers come from: the state of the checkout."""

import subprocess
from pathlib import Path


def git_state() -> tuple[str, bool]:
    """The commit, and whether code differs from it; ("unknown", True) outside git.

    Settings do not count as code: they have digests of their own.
    """
    try:
        commit = _git("rev-parse", "HEAD").strip()
        changed = _git("status", "--porcelain", "--", "src", "stages")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return commit, bool(changed)


def in_git(path: Path) -> str | None:
    """The text of a file as git has it, with what is staged; none where git does not know it."""
    try:
        return _git("show", f":./{path.as_posix()}")
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout
