"""What a data set is called: as its folder, unless another folder of that name was first."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml


def data_set_name(to: Path, root: Path, given: str | None = None) -> str:
    """my-<name> in the letters of run ids. No other pipeline's data set begins with my-.

    to:    the folder of params.yaml and of those that init-data has kept beside it.
    given: what the user calls it; without it, the name of the folder `root`, with a number where
           another folder, which is still there, has that name.
    """
    latin = re.sub(r"[^A-Za-z0-9]+", "-", given or root.name).strip("-")
    name = f"my-{latin or 'pictures'}"
    if given:
        return name

    folders = dict(_earlier_folders(to))
    numbered = name
    number = 1
    while _is_of_another(folders.get(numbered), root):
        number += 1
        numbered = f"{name}-{number}"
    if numbered != name:
        print(
            f"{name} is the data set of {folders[name]}; this one is called {numbered}, unless "
            "--name says otherwise"
        )
    return numbered


def _is_of_another(owner: Path | None, root: Path) -> bool:
    # Pictures that were moved are the same data set.
    return owner is not None and owner != root and owner.is_dir()


def _earlier_folders(to: Path) -> Iterator[tuple[str, Path]]:
    """Names of data sets and their folders in params.yaml and older ones, the latest last."""
    files = sorted(to.glob("params.yaml.bak*"), key=lambda file: file.stat().st_mtime_ns)
    for file in [*files, to / "params.yaml"]:
        try:
            data_sets = yaml.safe_load(file.read_text(encoding="utf-8"))["data"]
            folders = {name: Path(data["folder"]) for name, data in data_sets.items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError):
            continue  # absent, changed by hand, or of a data set that is downloaded
        yield from folders.items()
