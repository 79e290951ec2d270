"""The one error that a user's input may cause."""


class InputError(ValueError):
    """Bad settings, data or weights.

    The message names the file, the key and the remedy; stages print it without a traceback.
    """
