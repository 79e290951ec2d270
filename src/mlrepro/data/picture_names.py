"""Names of pictures as text, and the files that they mean.

A file's name may be any bytes; text, as tables and pages hold it, may not.
"""

import os
import re
from pathlib import Path

ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
BACKSLASH = rb"\\x5c"  # as it is escaped, in a replacement of `re`


def picture_name(path: str) -> str:
    r"""A path as text that every table and page can hold: bytes that are no UTF-8 become \xff."""
    # A name that has \xff in it as letters is not mistaken for one of these.
    content = ESCAPED.sub(BACKSLASH + rb"x\1", os.fsencode(path))
    return content.decode("utf-8", errors="backslashreplace")


def picture_file(root: Path, name: str) -> Path:
    """The file below the root that a name means, whether it is there or not."""
    path = root / name
    # Most have no backslash. A file of this very name goes first: in tables that people write,
    # names stand as they are.
    if "\\x" not in name or os.path.lexists(path):
        return path
    return root / os.fsdecode(ESCAPED.sub(_byte, name.encode()))


def _byte(match: re.Match) -> bytes:
    return bytes([int(match[1], 16)])
