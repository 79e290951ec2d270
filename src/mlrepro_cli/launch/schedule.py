"""Runs jobs on an engine, each as soon as what it needs is done."""

import re
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro_cli.launch.engines.attempts import AGAIN, Outcome
from mlrepro_cli.launch.engines.interface import Engine
from mlrepro_cli.launch.pipeline import Job

# Seconds before a second attempt at a job; twice that before the third.
PAUSE = 5


def run_jobs(
    jobs: list[Job],
    engine: Engine,
    slots: int,
    attempts: int,
    log: Path,
) -> dict[str, Outcome]:
    """How the last attempt at each job ended, by its stage.

    A job starts when the trainings that it needs are done, and fails with them. slots: jobs at a
    time. attempts: at each job, where another may end better. log: the folder for what each stage
    printed.
    """
    attempter = Attempter(engine, attempts, log)
    waiting = {job.stage: job for job in jobs}
    running: dict[Future[Outcome], str] = {}
    ends: dict[str, Outcome] = {}

    pool = ThreadPoolExecutor(slots)
    try:
        while waiting or running:
            # What cannot have all that it needs any more fails.
            for stage, job in list(waiting.items()):
                failed = _failed_need(job, ends)
                if failed:
                    ends[stage] = Outcome(1, f"error: not started, since {failed} failed", "")
                    del waiting[stage]

            # What has it starts. An evaluation goes before further trainings, so that there are
            # results to look at early, and whoever interrupts keeps them.
            ready = [job for job in waiting.values() if not _is_waiting(job, waiting, running)]
            ready.sort(key=lambda job: not job.trained)
            for job in ready[: slots - len(running)]:
                del waiting[job.stage]
                running[pool.submit(attempter.run, job)] = job.stage

            # Wait for one job to end, for then others may start.
            if running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ends[running.pop(future)] = future.result()
    finally:
        # The engine ends what still runs.
        attempter.interrupted.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return ends


def log_file(folder: Path, stage: str) -> Path:
    """Where what a stage printed is kept."""
    name = re.sub("[^A-Za-z0-9_-]+", "-", stage)
    return folder / f"{name}.log"


def _failed_need(job: Job, ends: dict[str, Outcome]) -> str | None:
    """A stage that the job needs and cannot have."""
    if job.undone:
        return job.undone[0]
    for need in job.trained:
        if need in ends and ends[need].error:
            return need
    return None


def _is_waiting(job: Job, waiting: dict[str, Job], running: dict[Future, str]) -> bool:
    return any(need in waiting or need in running.values() for need in job.trained)


@dataclass
class Attempter:
    """Makes attempts at one job after the other, from several threads.

    interrupted: no second attempt is begun any more.
    """

    engine: Engine
    attempts: int
    log: Path
    interrupted: threading.Event = field(default_factory=threading.Event)

    def run(self, job: Job) -> Outcome:
        """The last attempt's outcome. A stage's own error is final."""
        for number in range(1, self.attempts + 1):
            start = time.monotonic()
            outcome = self.engine(job)
            seconds = time.monotonic() - start
            printed = without_secrets(outcome.output)
            log_file(self.log, job.stage).write_text(printed, encoding="utf-8")

            again = (
                outcome.status == AGAIN and number < self.attempts and not self.interrupted.is_set()
            )
            print(_report(job, outcome, number, seconds, again), flush=True)
            if not again or self.interrupted.wait(PAUSE * number):
                break
        return outcome


def _report(job: Job, outcome: Outcome, number: int, seconds: float, again: bool) -> str:
    """The line about one attempt."""
    how = outcome.error
    if how is None:
        restored = job.stage not in outcome.ran
        how = "restored from the run cache, not run" if restored else "done"

    host = outcome.host or "a lost host"
    text = f"{job.stage}: attempt {number} on {host}, {seconds:.0f} s: {how}"
    if again:
        text += "; trying again"
    others = [stage for stage in outcome.ran if stage != job.stage]
    if others:
        text += f"; there, it had to run {', '.join(others)}"
    return text
