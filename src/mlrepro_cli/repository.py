"""Where the repository is: what settings name is found from its root."""

from pathlib import Path

import mlrepro
from mlrepro.errors import InputError

# What a root has, and nothing else.
MARKS = ("studies", "stages", "dvc.yaml")


def require_root(verb: str, needed: Path) -> None:
    """Raises InputError, which says where to go, in any other folder than a repository's root.

    needed: the file that the command reads first. Where it is, and no repository is around it, the
    folder is one in the making.
    """
    here = Path.cwd()
    around = next(filter(_is_root, here.parents), None)
    if _is_root(here) or (not around and needed.exists()):
        return

    installed = Path(mlrepro.__file__).resolve().parents[2]
    root = around or (installed if _is_root(installed) else None)
    where = f"cd {root}" if root else "the folder that has dvc.yaml and studies/"
    raise InputError(f"{here}: run `mlrepro {verb}` in the root of the repository: {where}")


def _is_root(folder: Path) -> bool:
    return all((folder / mark).exists() for mark in MARKS)
