"""Cells that hold a list: JSON, Python, numpy, Label Studio."""

import ast
import json
import re
from typing import Any

from mlrepro_cli.init_data.layouts.label_studio import LABEL_KEY

OPENING = "[{("
CLOSING = {"[": "]", "{": "}", "(": ")"}
# ['cat' 'dog'], as numpy prints it.
NUMPY = re.compile(r"\[\s*(?:'[^']*'\s*)+\]")
# [0. 1. 1.]
NUMPY_NUMBERS = re.compile(r"\[\s*(?:[-+]?\d+\.?\d*\s+)+[-+]?\d+\.?\d*\s*\]")
# Where an object of another tool than Label Studio has its label.
LABEL_KEYS = ("label", "name", "class", "category", "displayName", "title")
# And how sure another program was of it.
SCORE_KEYS = ("score", "confidence", "conf", "probability")


def is_list(cell: str) -> bool:
    """By its brackets alone."""
    return len(cell) > 1 and cell[0] in OPENING and cell[-1] == CLOSING[cell[0]]


def read_list(cell: str) -> list[str]:
    """The labels in a cell with brackets. Raises ValueError for what is no list of labels."""
    if NUMPY.fullmatch(cell):
        return re.findall("'([^']*)'", cell)
    if NUMPY_NUMBERS.fullmatch(cell):
        return _labels([float(number) for number in cell[1:-1].split()])
    value = _value(cell)
    if value is None:
        # Without quotes: [cat, dog], [cat|dog] and, of PostgreSQL, {cat,dog}.
        items = [item.strip().strip("\"'") for item in re.split("[,;|]", cell[1:-1])]
        return [item for item in items if item]
    if _is_of_marks(value):
        return [str(label) for label, mark in value.items() if mark]
    return _labels(value)


def _is_of_marks(value: Any) -> bool:
    """{"cat": 1, "dog": 0}"""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(mark, int) and mark in (0, 1) for mark in value.values())


def _value(cell: str) -> Any:
    """What JSON or Python make of it; none where neither reads it."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    return None


def _labels(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value} in place of a label")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value:g}, a number that is not whole, as predictions have")
    if isinstance(value, int | float):
        return [f"{value:g}"]
    if isinstance(value, dict):
        return _labels_of_object(value)
    if _is_pair(value):
        raise ValueError(f"{value[0]} with the number {value[1]:g}, which may be anything")
    return [label for item in value for label in _labels(item)]


def _is_pair(value: list | tuple | set) -> bool:
    """A label and a number."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    label, number = value
    return isinstance(label, str) and isinstance(number, int | float)


def _labels_of_object(value: dict) -> list[str]:
    if not value:
        return []
    for key in SCORE_KEYS:
        score = value.get(key)
        if isinstance(score, float) and 0 < score < 1:
            raise ValueError(f"{key} {score:g}, which predictions have; leave it out of labels")
    for key, inner in value.items():
        if key in LABEL_KEYS or LABEL_KEY.fullmatch(str(key)):
            return _labels(inner)
    raise ValueError(f"an object with {', '.join(map(str, value))}, none of which is a label")


def is_vector(lists: list[list[str]]) -> bool:
    """Whether all are of 0 and 1, and equally long: a place a class, and no names."""
    lengths = {len(labels) for labels in lists}
    values = {label for labels in lists for label in labels}
    return len(lengths) == 1 and lengths.pop() > 1 and values == {"0", "1"}
