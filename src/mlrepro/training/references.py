"""Parts of a training that a run file names, as strings "module:function".

Catalogues hold such strings, so that a process imports the parts of its own run alone.
"""

import importlib
from collections.abc import Callable


def resolve(reference: str) -> Callable:
    """What "module:function" names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
