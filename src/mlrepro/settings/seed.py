"""What a seed may be, in settings and on a command line.

Not pydantic but the standard library alone: every command line pays for this module.
"""

import argparse
from typing import Any

LARGEST = 2**32 - 1  # numpy's RandomState, which draws observed labels and splits, takes no more

# What stands for all seeds of a run: the average of their layers.
AVERAGE = "average"


def check_seed(value: Any) -> int:
    """Returns a seed as it is. Raises ValueError for everything else, also for true and 1.0."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LARGEST:
        raise ValueError(f"{_shown(value)} is no seed; write a whole number from 0 to {LARGEST}")
    return value


def seed_argument(text: str) -> int:
    """A seed of a command line, as the `type` of an argparse argument."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))
    try:
        return check_seed(int(text) if is_number else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seed_or_average(text: str) -> int | str:
    """The same, or the word AVERAGE."""
    return text if text == AVERAGE else seed_argument(text)


def _shown(value: Any) -> str:
    """Short enough for a line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
