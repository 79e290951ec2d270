"""Runs a script and kills it at work, as `kill -9` does: soon after it has written a file.

    python killed.py PATTERN script arguments ...

The file is one that PATTERN matches, and newer than all such files at the start. The process kills
itself, so that neither a busy machine nor a fast training matters. Of processes that work together
it is rank 1, and once: when they are started again in the same folder, it lives.
"""

import glob
import os
import runpy
import signal
import sys
import threading
import time


def newest(pattern: str) -> int:
    """When the last file was written that the pattern matches, in nanoseconds."""
    times = [0]
    for path in glob.glob(pattern):
        try:
            times.append(os.stat(path).st_mtime_ns)
        except FileNotFoundError:  # replaced or removed meanwhile
            continue
    return max(times)


def kill_after(pattern: str, start: int) -> None:
    while newest(pattern) <= start:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


def is_chosen() -> bool:
    """Whether this process is to be killed: of two, rank 1, and that once."""
    if "RANK" not in os.environ:
        return True
    if os.environ["RANK"] != "1":
        return False
    try:
        open("killed-once", "x").close()
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    _, own_pattern, *sys.argv = sys.argv
    if is_chosen():
        arguments = (own_pattern, newest(own_pattern))
        threading.Thread(target=kill_after, args=arguments, daemon=True).start()
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
