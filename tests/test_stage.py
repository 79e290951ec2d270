"""How the process of a stage ends."""

import subprocess
import sys
from pathlib import Path

import pytest

# What Python takes apart at its end says so.
SCRIPT = """
import atexit, sys, threading, time
from mlrepro.stage import main

class Memory:
    def __del__(self):
        print("taken apart", flush=True)

def later():
    time.sleep(0.2)
    print("by a thread", flush=True)

def stage(what):
    if what == "fails":
        raise ValueError("no data")
    if what == "thread":
        threading.Thread(target=later).start()
    print("made", end=" ")

memory = Memory()
atexit.register(print, "at exit")
main(stage, "what")
"""


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "stage.py"
    path.write_text(SCRIPT)
    return path


def run(*words: str | Path, output=subprocess.PIPE) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True)


def test_its_memory_is_left_to_the_system(script):
    """All that was printed is there, and what others registered for the end is done."""
    done = run(script, "nothing else")
    assert (done.returncode, done.stdout, done.stderr) == (0, "made at exit\n", "")


def test_other_programs_that_run_a_stage_are_not_ended(script):
    """A profiler, torchrun or a test goes on behind it: they begin with other words."""
    done = run("-B", script, "nothing else")
    assert (done.returncode, done.stdout) == (0, "made at exit\ntaken apart\n")


def test_a_thread_is_waited_for(script):
    done = run(script, "thread")
    assert done.returncode == 0
    assert done.stdout.startswith("made by a thread\nat exit\n")


def test_what_goes_wrong_at_the_end_fails(script):
    failed = run(script, "fails")
    assert failed.returncode == 1
    assert "ValueError: no data" in failed.stderr

    with open("/dev/full", "w") as full:
        failed = run(script, "nothing else", output=full)
    assert failed.returncode != 0
    assert "No space left on device" in failed.stderr


@pytest.mark.parametrize(
    "folder, error, told",
    [
        ("stages", "KeyboardInterrupt", False),
        ("stages", "ImportError", True),
        ("mine", "KeyboardInterrupt", True),
    ],
)
def test_ctrl_c_while_a_stage_imports(tmp_path, folder, error, told):
    """That takes seconds, and a person presses it then as well; other programs are left alone."""
    path = tmp_path / folder / "train.py"
    path.parent.mkdir()
    path.write_text(f"import mlrepro.errors\nraise {error}\n")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode
    assert ("Traceback" in done.stderr) == told
    assert ("interrupted; run the same command again to go on" in done.stderr) != told
