"""Digests of code, so that what depends on it runs again when it acts otherwise, and not when a comment has changed."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

DOCUMENTED = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef


def code_digest(path: Path) -> str:
    """sha256 of a module's syntax tree without docstrings: comments and layout do not count. Another Python may give another."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def code_digests(paths: Iterable[Path], start: Path) -> dict[str, str]:
    """Of every module among or below `paths`, by its path from `start`."""
    modules = sorted(
        module
        for path in paths
        for module in ([path] if path.suffix == ".py" else path.rglob("*.py"))
    )
    return {module.relative_to(start).as_posix(): code_digest(module) for module in modules}
