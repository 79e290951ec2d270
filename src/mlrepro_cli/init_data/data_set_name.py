"""What a data set is called: as its folder, unless another folder of that name was first."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import yaml

from mlrepro.errors import InputError


def data_set_name(to: Path, root: Path, given: str | None = None) -> str:
    """my-<name> in the letters of run ids. No other pipeline's data set begins with my-.

    to:    the folder of params.yaml and of those that init-data has kept beside it.
    given: what the user calls it; without it, the name of the folder `root`, with a number where
           another folder, which is still there, has that name. What becomes of one with other
           letters is printed.
    """
    if given is not None:
        check_name(given)
        name = f"my-{_latin(given)}"
        if name != f"my-{given}":
            print(f"--name {given!r}: the data set is called {name}")
        return name
    name = f"my-{_latin(root.name) or 'pictures'}"

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


def check_name(given: str) -> None:
    """Raises InputError for a user's name without a letter that run ids may have."""
    if not _latin(given):
        raise InputError(
            f"--name {given!r}: has no letter from a to z and no digit; give a name that has one"
        )


def _latin(text: str) -> str:
    """With the letters and digits that it has without accents, and hyphens between its words."""
    decomposed = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    without_accents = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9]+", "-", without_accents).strip("-")


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
