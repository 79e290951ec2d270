"""Where numbers come from: the state of the checkout."""

import subprocess


def git_state() -> tuple[str, bool]:
    """The commit, and whether code differs from it; ("unknown", True) outside git.

    Settings do not count as code: they have digests of their own.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "stages")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return commit, bool(changed)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
