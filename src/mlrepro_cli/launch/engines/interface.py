"""What the head wants of an engine."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from mlrepro_cli.launch.engines.attempts import Outcome
from mlrepro_cli.launch.pipeline import Job

# Makes one attempt at a job.
Engine = Callable[[Job], Outcome]
# Gives an engine, and how many jobs it takes at a time. What still runs at its end is stopped.
EngineContext = AbstractContextManager[tuple[Engine, int]]

# Jobs at a time on a cluster, which has a queue of its own.
AT_ONCE = 64
