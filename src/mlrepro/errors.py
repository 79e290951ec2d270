"""The one error that a user's input may cause, and names in what is said of it."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad settings, data or weights.

    The message names the file, the key and the remedy; stages print it without a traceback.
    """


def first_of(names: Sequence[str], most: int) -> str:
    """The first names for a message, and how many more there are: nobody reads a thousand."""
    shown = ", ".join(names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown
