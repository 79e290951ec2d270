"""The process that writes spooled events into MLflow's store: `python -m mlrepro.tracking.writer`, one a repository.

It ends when the spool has been empty for a while. Every event can be written twice without harm, so that a writer
that was killed loses nothing: the next one begins where the last offset was kept.
"""

import logging
import sys
import time
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro.files import write_bytes
from mlrepro.tracking import spool
from mlrepro.tracking.store import Store

POLL_SECONDS = 0.3
IDLE_SECONDS = 30
RETRY_SECONDS = 5
ATTEMPTS = 3


def main() -> None:
    """Empties the spool until nothing has come for a while. With `--drain`, until it is empty now."""
    idle = 0.0 if "--drain" in sys.argv[1:] else IDLE_SECONDS
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    run(idle)


def run(idle: float, folder: Path = spool.SPOOL) -> None:
    while True:
        with spool.writer_lock(folder) as free:
            if not free:
                return
            done = _write_until_idle(idle, folder)
        # What a stage appended between the last look and the lock's release would wait for the next stage.
        if not done or not any(spool.is_finished(path) for path in spool.pending(folder)):
            return


def _write_until_idle(idle: float, folder: Path) -> bool:
    """False where the store cannot be written to; why is left in a file that stages read."""
    store = Store()
    failures = 0
    last_event = time.monotonic()
    while True:
        try:
            wrote = write_pending(store, folder)
        except (
            Exception
        ) as error:  # locked, corrupt, away, of another version: the spool stays for a later writer
            failures += 1
            text = without_secrets(f"{type(error).__name__}: {error}")
            write_bytes(folder / spool.PROBLEM, text.encode())
            if failures == ATTEMPTS:
                return False
            time.sleep(RETRY_SECONDS)
            continue

        failures = 0
        (folder / spool.PROBLEM).unlink(missing_ok=True)
        if wrote:
            last_event = time.monotonic()
        if time.monotonic() - last_event >= idle:
            return True
        time.sleep(POLL_SECONDS)


def write_pending(store: Store, folder: Path) -> bool:
    """Writes what the spool holds; removes files that are finished. Returns whether there was anything."""
    wrote = False
    for path in spool.pending(folder):
        finished = spool.is_finished(
            path
        )  # asked before reading: what is appended later is not lost
        offset_file = path.with_suffix(".offset")
        offset = int(offset_file.read_text()) if offset_file.is_file() else 0

        events, end = spool.read_events(path, offset)
        if events:
            described = spool.read_events(path, 0)[0][0]
            store.write(described, events)
            write_bytes(offset_file, str(end).encode())
            wrote = True

        if finished:
            path.unlink()
            offset_file.unlink(missing_ok=True)
    return wrote


if __name__ == "__main__":
    main()
