"""Where numbers come from: the state of the checkout, and digests of the code that made them."""

import ast
import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


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


def code_digest(path: Path) -> str:
    """sha256 of a module's syntax tree without docstrings: comments and layout do not count.

    Another Python may give another.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def code_digests(paths: Iterable[Path], start: Path) -> dict[str, str]:
    """Of every module among or below `paths`, by its path from `start`."""
    modules = []
    for path in paths:
        modules += [path] if path.suffix == ".py" else path.rglob("*.py")
    return {module.relative_to(start).as_posix(): code_digest(module) for module in sorted(modules)}
