"""What the head wants of an engine."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from mlrepro_cli.launch.engines.attempts import Outcome
from mlrepro_cli.launch.pipeline import Job

Engine = Callable[[Job], Outcome]
"""Makes one attempt at a job."""
EngineContext = AbstractContextManager[tuple[Engine, int]]
"""Gives an engine, and how many jobs it takes at a time. What still runs at its end is stopped."""

AT_ONCE = 64
"""Jobs on a cluster, which has a queue of its own."""
