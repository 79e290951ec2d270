"""How every stage starts.

Its arguments are read, what it does is printed, and a user's error ends it without a traceback.
"""

import argparse
import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError
from mlrepro.settings.seed import seed_argument
from mlrepro.system_errors import in_words
from mlrepro.terminal import safe_output, visible

SEVERAL = "..."


class Arguments(argparse.ArgumentParser):
    """Positional arguments alone; a wrong number of them ends the program with the usage."""

    def __init__(self, names: tuple[str, ...]):
        places = " ".join(f"<{name}>" for name in names)
        super().__init__(usage=f"python {sys.argv[0]} {places}", allow_abbrev=False)
        for name in names:
            several = "*" if name.endswith(SEVERAL) else None
            kind = seed_argument if name == "seed" else str
            self.add_argument(name, nargs=several, type=kind)

    def error(self, message: str) -> None:
        sys.exit(f"usage: {self.usage}\n{message}")


def main(stage: Callable[..., None], *names: str) -> None:
    """Calls `stage` with the command line's arguments.

    names: one an argument; `seed` is a number. The last may end in `...`: all that are left, also
    none.
    """
    alone = _is_process()
    if alone:
        gc.freeze()  # what is imported stays: a collection need not look through it

    arguments = []
    for value in vars(Arguments(names).parse_args()).values():
        arguments += value if isinstance(value, list) else [value]

    # DVC's and the stage's lines in their true order; file names may be no text.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    with safe_output():
        try:
            stage(*arguments)
        except InputError as error:
            # Python prints it when nothing here is in its way any more.
            sys.exit(f"error: {visible(without_secrets(str(error)))}")
        except OSError as error:
            problem = in_words(error)
            if problem is None:
                raise
            sys.exit(f"error: {visible(without_secrets(problem))}")
        except KeyboardInterrupt:
            sys.exit("interrupted; run the same command again to go on")

    if alone:
        _end_process()


# ---- The process -------------------------------------------------------------------------------


def _is_process() -> bool:
    """Whether this process is the stage's script and nothing else: no test, no profiler."""
    return sys.orig_argv[1:] == sys.argv


def _end_process() -> None:
    """Ends it as Python would, but leaves its memory to the system.

    Python takes all modules apart before it ends. Of torch that is half a CPU second, a third of
    what a short stage costs.
    """
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    if others != [threading.main_thread()]:
        return  # Python waits for them

    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # Python says what is wrong, and fails
    os._exit(0)
