"""Where numbers come from: the state of the checkout."""

import os
import subprocess
from pathlib import Path

CODE = ("src", "stages")

# How a commit begins that git does not name; what follows says why.
UNKNOWN = "unknown"
NO_PROGRAM = "no git program"
NO_CHECKOUT = "no git checkout"
OTHER_OWNER = "another user's checkout"
NO_COMMIT = "nothing is committed"
FAILED = "git fails"

# Words of git's messages, and what they mean here.
MEANINGS = {
    "dubious ownership": OTHER_OWNER,
    "not a git repository": NO_CHECKOUT,
    "ambiguous argument 'HEAD'": NO_COMMIT,
}

REMEDIES = {
    NO_PROGRAM: "install git",
    NO_CHECKOUT: "a clone has commits, a zip file has none",
    OTHER_OWNER: "`git config --global --add safe.directory {folder}` says that it can be trusted",
    NO_COMMIT: "commit it",
    FAILED: "`git status` in {folder} says why",
}


def git_state() -> tuple[str, bool | None]:
    """The commit, and whether code differs from it.

    Where git names none: "unknown: " with the reason, and none. Settings do not count as code: they
    have digests of their own.
    """
    try:
        # First: a repository around a copy that it does not hold says nothing of the copy.
        if not _git("ls-files", "--", *CODE):
            return f"{UNKNOWN}: {NO_CHECKOUT}", None
        commit = _git("rev-parse", "HEAD").strip()
        changed = _git("status", "--porcelain", "--", *CODE)
    except OSError:
        return f"{UNKNOWN}: {NO_PROGRAM}", None
    except subprocess.CalledProcessError as error:
        return f"{UNKNOWN}: {_meaning(error.stderr)}", None
    return commit, bool(changed)


def is_known(commit: str) -> bool:
    """Whether it is git's name of a commit, and no reason why there is none."""
    return not commit.startswith(UNKNOWN)


def missing_commit(commit: str | None) -> str | None:
    """A sentence for the user about a commit that git does not name; none where it does."""
    if commit is None or is_known(commit):
        return None
    reason = commit.removeprefix(f"{UNKNOWN}: ")
    remedy = REMEDIES.get(reason, REMEDIES[FAILED]).format(folder=Path.cwd())
    return f"note: the record names no commit ({reason}); {remedy}"


def in_git(path: Path) -> str | None:
    """The text of a file as git has it, with what is staged; none where git does not know it."""
    try:
        return _git("show", f":./{path.as_posix()}")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    """What git prints, in English, and without locks that would be in another process's way."""
    done = subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    )
    return done.stdout


def _meaning(message: str) -> str:
    for words, meaning in MEANINGS.items():
        if words in message:
            return meaning
    return FAILED
