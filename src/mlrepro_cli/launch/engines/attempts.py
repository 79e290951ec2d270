"""One attempt at one job, with job.sh.

This module is sent by value to workers, which need no mlrepro to be installed: `attempt` may use
the standard library only.
"""

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mlrepro.addresses import without_secrets

SCRIPT = Path(__file__).parents[1].joinpath("job.sh").read_text(encoding="utf-8")
# job.sh's exit status where another attempt may end better.
AGAIN = 75

# How much of a line goes into a record.
LONGEST_ERROR = 500
# How programs, git, dvc and Python begin the line that says what is wrong.
ERROR_LINE = re.compile(r"(error|fatal|ERROR|[\w.]+(Error|Exception))\b.*:")
# What DVC prints before it runs a stage.
RUNNING = re.compile(r"^Running stage '(.+)':$", re.MULTILINE)


@dataclass
class Outcome:
    """How an attempt ended: exit status, what was printed, and on which machine."""

    status: int
    output: str
    host: str

    @property
    def error(self) -> str | None:
        """The line that says why it failed; none if it did not.

        It goes into records, which git keeps.
        """
        if not self.status:
            return None

        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        errors = [line for line in lines if ERROR_LINE.match(line)]
        if not errors:
            line = lines[-1] if lines else "it printed nothing"
        elif self.status == AGAIN:
            line = errors[-1]  # job.sh's own, after what led to it
        else:
            line = errors[0]  # the stage's own, before DVC's
        return without_secrets(line)[:LONGEST_ERROR]

    @property
    def ran(self) -> list[str]:
        """The stages that were run, so not restored from the run cache."""
        return RUNNING.findall(self.output)


def attempt(
    script: str,
    variables: dict[str, str],
    started: list[subprocess.Popen] | None = None,
) -> tuple[int, str, str]:
    """Runs the script to its end and returns an Outcome's values.

    started: takes the process, a session of its own, for whoever may have to stop it.
    """
    # The programs of this environment: python, dvc.
    folder = os.path.dirname(sys.executable)
    path = folder + os.pathsep + os.environ.get("PATH", "")
    process = subprocess.Popen(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=started is not None,
    )
    # A session of its own, which can be stopped as a whole: bash, dvc, python and their workers.
    if started is not None:
        started.append(process)
    output, _ = process.communicate()
    return process.returncode, output, socket.gethostname()
