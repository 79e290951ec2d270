"""Names of pictures as text, and the files that they mean.

A file's name may be any bytes; text, as tables and pages hold it, may not.
"""

import os
import re
from pathlib import Path

ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def picture_name(path: str) -> str:
    """A path as text that every table and page can hold: what is no UTF-8 in it becomes \\xff."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def picture_file(root: Path, name: str) -> Path:
    """The file below the root that a name means, whether it is there or not."""
    path = root / name
    # Such names are rare: most have no backslash. A file of this very name goes first.
    if "\\x" not in name or os.path.lexists(path):
        return path
    return root / os.fsdecode(ESCAPED.sub(_byte, name.encode()))


def _byte(match: re.Match) -> bytes:
    return bytes([int(match[1], 16)])
