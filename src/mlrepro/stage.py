"""How every stage starts: its arguments are read, what it does is printed, and a user's error ends it without a traceback."""

import sys
from collections.abc import Callable

from mlrepro.errors import InputError


def main(stage: Callable[..., None], *names: str) -> None:
    """Calls `stage` with the command line's arguments, which must be as many as `names`, or more where the last ends in `...`."""
    given, least = len(sys.argv) - 1, len(names) - names[-1].endswith("...")
    if given < least or (given > least and least == len(names)):
        sys.exit(f"usage: python {sys.argv[0]} {' '.join(f'<{name}>' for name in names)}")
    sys.stdout.reconfigure(line_buffering=True)  # DVC's and the stage's lines in their true order
    try:
        stage(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command again to go on")
