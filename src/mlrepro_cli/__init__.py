"""The command `mlrepro`: what people do around the pipeline, with their pictures and on clusters.

A package of its own beside mlrepro, which knows nothing of it: no stage depends on this code, so no
edit of it trains anything again. Each verb has a room: `command.py` there says what the verb takes
and starts its work, which is imported only then.
"""

from pathlib import Path

# The study that compares methods on a user's own pictures, from the repository's root.
OWN_DATA = Path("studies/own-data")
