"""Large arrays that are made again and again take their pages from the system once."""

import subprocess
import sys

import pytest

from mlrepro.memory import OF_THE_USER

PROGRAM = """
import resource
import numpy as np
from mlrepro.memory import keep_freed_memory

kept = {keeps}
for _ in range(2):
    np.ones(2**23)  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2**23)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keeps: str, monkeypatch, **environment: str) -> tuple[bool, int]:
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-c", PROGRAM.format(keeps=keeps)]
    kept, faults = subprocess.check_output(command, text=True).split()
    return kept == "True", int(faults)


def test_pages_are_taken_once(monkeypatch):
    _, usual = page_faults("False", monkeypatch)
    kept, faults = page_faults("keep_freed_memory()", monkeypatch)
    if not kept:
        pytest.skip("needs glibc")
    # Of pages of 4 KiB, or of 2 MiB.
    assert faults < usual / 5


def test_what_the_user_says_stays(monkeypatch):
    kept, _ = page_faults("keep_freed_memory()", monkeypatch, MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept
