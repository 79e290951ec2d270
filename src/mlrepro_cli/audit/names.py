"""Names that stand in a file of their own: of pictures a row, or of classes a column."""

import json
from pathlib import Path

import numpy as np

from mlrepro.data.formats.reading import load_array
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import lines, open_text


def read_names(path: Path) -> list[str]:
    """.npy, .json (a list), or text with a name a line."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give one with a name a line")
    if path.suffix == ".npy":
        array = load_array(path, "USiu", 1, "give names in a .npy or a text file")
        return text_of(array)
    if path.suffix == ".json":
        return _of_json(path)
    return [line.strip('"') for _, line in lines(path)]


def text_of(array: np.ndarray) -> list[str]:
    """Of names or numbers in an array of one dimension."""
    if array.dtype.kind == "S":
        return [name.decode("utf-8", errors="backslashreplace") for name in array.tolist()]
    return [str(name) for name in array.tolist()]


def _of_json(path: Path) -> list[str]:
    try:
        with open_text(path) as file:
            names = json.load(file)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON ({error})") from None
    if not isinstance(names, list) or any(isinstance(name, list | dict) for name in names):
        raise InputError(f"{path}: no list of names")
    return [str(name) for name in names]
