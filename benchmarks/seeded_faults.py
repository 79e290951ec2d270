"""Do the tests notice a wrong number? Faults are seeded into a copy of the package, one at a time.

    python benchmarks/seeded_faults.py [WORD ...]

Each fault is a small slip such as a re-implementation makes: it changes what is computed a little
and breaks nothing. The tests of its room run on the copy until the first of them fails. Printed,
and written into benchmarks/results/seeded-faults.md, is which test that was. A fault that none
notices ends the script with status 1: a test is missing.

WORD: only faults with one of these words in file or description; then nothing is written.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fault_list import ADDED, FAULTS, Fault
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "results" / "seeded-faults.md"

# The line of pytest's summary that names a test which failed.
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?: - |$)", re.MULTILINE)

INTRODUCTION = """\
# Seeded faults

Written by `python benchmarks/seeded_faults.py`, which seeds each fault into a copy of the package
and runs the tests of its room: which test noticed it first.

"""


def seed_fault(fault: Fault, package: Path) -> None:
    """Changes `package`, a copy of src/mlrepro. Raises ValueError where the line is another now."""
    path = package / fault.file
    text = path.read_text(encoding="utf-8")
    times = text.count(fault.right)
    if times != 1:
        raise ValueError(f"{fault.file}: {fault.right!r} is there {times} times")

    changed = text.replace(fault.right, fault.wrong)
    path.write_text(changed + ADDED.get(fault.file, ""), encoding="utf-8")


def first_failure(source: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails with the package in the folder `source`; none where all pass."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return None

    failed = FAILED.search(done.stdout)
    if done.returncode != 1 or not failed:
        sys.exit(f"pytest {' '.join(tests)} did not run:\n{done.stdout[-2000:]}{done.stderr}")
    return failed[1]


def catch(fault: Fault) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src", source, dirs_exist_ok=True, ignore=ignored)
        seed_fault(fault, source / "mlrepro")
        return first_failure(source, fault.tests)


def main(words: list[str]) -> None:
    faults = FAULTS
    if words:
        faults = [f for f in FAULTS if any(word in f"{f.what} {f.file}" for word in words)]

    rows = []
    survivors = 0
    for fault in faults:
        start = time.perf_counter()
        test = catch(fault)
        survivors += test is None
        seconds = time.perf_counter() - start
        print(f"{fault.what} ({fault.file}): {test or 'NOT NOTICED'} [{seconds:.0f} s]", flush=True)
        rows.append([fault.what, f"`{fault.file}`", f"`{test}`" if test else "**none**"])

    if not words:
        table = tabulate(rows, ["fault", "file", "noticed by"], "github")
        TABLE.write_text(f"{INTRODUCTION}{table}\n", encoding="utf-8")
    print(f"{len(faults) - survivors} of {len(faults)} faults are noticed")
    if survivors:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
