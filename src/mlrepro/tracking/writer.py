"""The process that writes spooled events into MLflow's store, one a repository.

Stages start it, and it ends when nothing has come for a while. Every event can be written twice
without harm, so that a killed writer loses nothing: the next one begins at the last offset.

    python -m mlrepro.tracking.writer --drain

waits until the store has everything, and says what it lacks if it cannot be written to.
"""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro.terminal import visible
from mlrepro.tracking import spool

POLL_SECONDS = 0.3  # between two looks at the spool
IDLE_SECONDS = 30  # without an event, after which it ends
RETRY_SECONDS = 3  # before it tries again what failed
ATTEMPTS = 3  # one after the other that fail, after which it gives up
PROBLEM_LENGTH = 300  # letters of an error that stages are told
# It has time, and stages are at work on the same cores.
NICENESS = 10
# A server that does not answer: MLflow's own patience is many minutes.
IMPATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mlrepro.tracking.writer")
    parser.add_argument("folder", nargs="?", type=Path, default=spool.SPOOL)
    parser.add_argument("--drain", action="store_true", help="wait until the store has everything")
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # spool.start_writer's
    arguments = parser.parse_args()
    if arguments.lock is None and not arguments.drain:
        parser.error("stages start it; what waits in the spool is written by --drain")

    if arguments.drain:
        sys.exit(_drain(arguments.folder))
    _serve(arguments.folder, arguments.lock)


def _drain(folder: Path) -> str | None:
    """What is left, in words."""
    left = spool.drain(folder)
    problem = spool.problem(folder)
    if not left and not problem:
        return None
    text = f"MLflow is behind: {problem or 'it is still writing'}; the rest waits in {folder}"
    return visible(text)


def _serve(folder: Path, lock: int) -> None:
    os.set_inheritable(lock, False)
    os.nice(NICENESS)
    for name, value in IMPATIENCE.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)

    spool.retry_refused(folder)
    can_write = write_until_idle(folder)
    os.close(lock)
    # What a stage has appended since the last look, when a writer was still there.
    if can_write and spool.unwritten(folder):
        spool.start_writer(folder)


def write_until_idle(folder: Path, idle: float = IDLE_SECONDS) -> bool:
    """Writes what comes until nothing has come for `idle` seconds, or the folder is gone.

    False where the store cannot be written to; why is left in a file that stages read.
    """
    try:
        from mlrepro.tracking.store import Stores  # here: MLflow may not be installed
    except ImportError as error:
        _report(folder, error)
        return False

    stores = Stores()
    failures = 0
    last_event = time.monotonic()
    while folder.is_dir() and not stores.is_replaced():
        try:
            wrote = write_spooled(stores, folder)
        except Exception as error:  # locked, broken, away, of another version, or the disk is full
            failures += 1
            _report(folder, error)
            if failures == ATTEMPTS:
                return False
            time.sleep(RETRY_SECONDS)
            continue

        failures = 0
        if wrote:
            last_event = time.monotonic()
        if time.monotonic() - last_event >= idle:
            break
        time.sleep(POLL_SECONDS)
    return True


def write_spooled(stores, folder: Path) -> bool:
    """Writes what the spool holds, and removes files that are finished; returns if there was any.

    stores: store.Stores. Raises what it raised where a store cannot be written to, once the files
    for other stores are written.
    """
    from mlrepro.tracking.store import is_refusal

    wrote = False
    unreachable: dict[str | None, Exception] = {}
    for file in spool.spooled(folder):
        address = None
        try:
            described = file.describes()
            address = described["store"]
            if address not in unreachable:
                wrote |= _write_file(stores, file, described, folder)
        except Exception as error:
            stores.forget_runs()
            if is_refusal(error):
                # It must not hold up the others.
                file.refuse()
                _report(folder, error)
            else:
                unreachable[address] = error

    for error in unreachable.values():
        raise error
    return wrote


def _write_file(stores, file: spool.Spooled, described: dict, folder: Path) -> bool:
    """Whether there was anything to write."""
    # Asked before reading: what is appended afterwards must not be removed.
    finished = file.is_finished()
    events, end = file.read()
    if events:
        stores.write(file.path.name, described, events)
        # Before the spool shows that this is written: who has waited for that asks for the problem.
        _forget_problem(folder)

    if finished:
        file.remove()
    elif events:
        file.written(end)
    return bool(events)


def _forget_problem(folder: Path) -> None:
    """A store that is away is reported again; a refused file stays, and so does its reason."""
    if not any(folder.glob("*.refused")):
        (folder / spool.PROBLEM).unlink(missing_ok=True)


def _report(folder: Path, error: Exception) -> None:
    text = f"{type(error).__name__}: {_first_line(error)[:PROBLEM_LENGTH]}"
    print(text, flush=True)  # into writer.log
    try:
        (folder / spool.PROBLEM).write_text(text, encoding="utf-8")
    except OSError:  # the folder is gone, or the disk is full
        pass


def _first_line(error: Exception) -> str:
    """That says what is wrong: SQLAlchemy begins with how it came about."""
    for line in without_secrets(str(error)).splitlines():
        if line.strip() and not line.startswith("(raised as a result"):
            return line.strip()
    return "without a message"


if __name__ == "__main__":
    main()
