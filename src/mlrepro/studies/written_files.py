"""Files in git that a script writes from others beside them."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def write_or_check(files: Callable[[], dict[Path, str]], description: str, all_agree: str) -> None:
    """What such a script does: writes those of the files that differ, and prints their names.

    With --check on its command line it writes nothing, and ends with status 1 where one differs.
    files: what each should hold, by path. all_agree: what is printed where none differs.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    check = parser.parse_args().check

    stale = []
    for path, text in files().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.as_posix())
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    print("\n".join(stale) or all_agree)
    if check and stale:
        sys.exit(1)
