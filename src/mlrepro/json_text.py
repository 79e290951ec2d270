"""JSON that `git diff` shows well: numbers of few digits, one line for what belongs together."""

import json
import math

WIDTH = 100  # columns
DIGITS = 6  # significant ones


def significant(value, digits: int = DIGITS):
    """The same JSON value, its floats rounded to significant digits; integers stay exact.

    What is not finite is none: JSON has no such numbers.
    """
    if isinstance(value, dict):
        return {key: significant(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [significant(item, digits) for item in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def json_text(value, width: int = WIDTH) -> str:
    """The JSON of a value: what fits stands on one line.

    Of a longer mapping the short items share lines of about `width` columns, and the long ones are
    broken the same way. An item of a longer list stands on one line, however long, if it is a list
    or a mapping, and so does a list of numbers alone.
    """
    return "\n".join(_lines(value, width)) + "\n"


def _lines(value, width: int, key: str = "") -> list[str]:
    """Those of a value; the first begins with its key."""
    one_line = key + _one_line(value)
    if len(one_line) <= width or not isinstance(value, dict | list) or _is_row(value):
        return [one_line]

    if isinstance(value, list):
        first, last = "[", "]"
        items = _list_items(value)
    else:
        first, last = "{", "}"
        items = _mapping_items(value, width - 1)
    return [key + first, *(f" {line}" for line in _filled(items, width - 1)), last]


def _is_row(value: dict | list) -> bool:
    """Whether it is a list of numbers alone, of which some may be absent."""
    return isinstance(value, list) and all(isinstance(item, float | None) for item in value)


def _list_items(value: list) -> list[list[str]]:
    return [[_one_line(item)] for item in value]


def _mapping_items(value: dict, width: int) -> list[list[str]]:
    """The lines of every item, with its key."""
    return [_lines(item, width, f"{_one_line(key)}: ") for key, item in value.items()]


def _filled(items: list[list[str]], width: int) -> list[str]:
    """The items with commas between them; those of a line each share lines."""
    lines: list[str] = []
    is_open = False
    for index, (first, *rest) in enumerate(items):
        comma = "," if index < len(items) - 1 else ""
        if rest:
            lines += [first, *rest]
            lines[-1] += comma
        elif is_open and len(lines[-1]) + len(first) + 2 <= width:
            lines[-1] += f" {first}{comma}"
        else:
            lines.append(first + comma)
        is_open = not rest
    return lines


def _one_line(value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
