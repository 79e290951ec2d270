"""Progress bars: at a terminal as tqdm draws them, in a log a line a minute."""

import sys
from collections.abc import Iterable

from tqdm import tqdm

# Seconds between two lines in a log. What ends before the first leaves none.
OF_A_LOG = 60

# Seconds after which a bar that vanishes at its end is worth drawing.
OF_A_GLANCE = 1


def progress_bar(iterable: Iterable | None = None, **options) -> tqdm:
    """tqdm's bar on stderr; options: tqdm's.

    A file would keep every state of a bar that is drawn ten times a second.
    """
    if sys.stderr.isatty():
        if not options.get("leave", True):
            options["delay"] = OF_A_GLANCE
    else:
        # The largest interval too, or tqdm draws after ten seconds what has not moved.
        options |= {"mininterval": OF_A_LOG, "maxinterval": OF_A_LOG, "delay": OF_A_LOG}
    return tqdm(iterable, **options)
