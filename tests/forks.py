"""Processes that begin where `import torch` ends, without its two seconds: forks of a server.

Each is a process like any other, with its own memory, environment, folder and output, and can be
killed. The server has imported torch alone: what a fork holds beside that, it imported itself. What
is read when torch is loaded (OMP_NUM_THREADS) needs an interpreter of its own.

As a script, this is the server: a request a line on its input, an answer a line on its output.
"""

import atexit
import functools
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

# ---- In the process of the tests ---------------------------------------------------------------


class Fork:
    """A running fork; its parts have the names of subprocess.Popen's."""

    def __init__(self, pid: int, output: Path):
        self.pid = pid
        self.returncode: int | None = None
        self._output = output

    def poll(self) -> int | None:
        return self._ask("poll")

    def wait(self) -> int:
        return self._ask("wait")

    def kill(self) -> None:
        """With SIGKILL, and waits for its end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    @property
    def output(self) -> str:
        """What it has printed until now, errors among it."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def _ask(self, question: str) -> int | None:
        if self.returncode is None:
            self.returncode = _answer(question, pid=self.pid)
        return self.returncode


def start(*words: str, folder: Path | None = None, **environment: str) -> Fork:
    """Like `python *words` in a folder: a script, -m and a module, or -c and code; arguments."""
    _, outputs = _server()
    handle, output = tempfile.mkstemp(dir=outputs)
    os.close(handle)
    pid = _answer(
        "start",
        words=words,
        folder=str(folder or Path.cwd()),
        environment=os.environ | environment,
        output=output,
    )
    return Fork(pid, Path(output))


def run(*words: str, folder: Path | None = None, **environment: str) -> str:
    """What `python *words` printed; it must have succeeded."""
    fork = start(*words, folder=folder, **environment)
    assert fork.wait() == 0, f"{' '.join(words)}:\n{fork.output}"
    return fork.output


def _answer(question: str, **values) -> int | None:
    server, _ = _server()
    server.stdin.write(json.dumps({"question": question, **values}) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


@functools.cache
def _server() -> tuple[subprocess.Popen, str]:
    """The server of this process, started when it is first needed; the folder of its outputs."""
    folder = tempfile.TemporaryDirectory(prefix="forks-")
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    @atexit.register
    def end() -> None:
        server.stdin.close()
        server.wait()
        folder.cleanup()

    return server, folder.name


# ---- In the server, and in its forks -----------------------------------------------------------


def serve() -> dict | None:
    """Answers until the input ends, and then ends what still runs.

    In a fork, it returns the request that this is to become.
    """
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        question = request.pop("question")
        if question == "start":
            answer = os.fork()
            if not answer:
                return request
            running.add(answer)
        else:
            answer = exit_status(request["pid"], wait=question == "wait")
            if answer is not None:
                running.remove(request["pid"])
        print(json.dumps(answer), flush=True)

    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return None


def exit_status(pid: int, wait: bool) -> int | None:
    """Minus the number of the signal that has killed it; none of what still runs."""
    ended, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def become(words: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """Goes on as `python *words` would begin."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))

    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path[0] = ""
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0] = folder
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name="__main__")


def status_at_end(end: SystemExit) -> int:
    """The exit status that Python makes of what sys.exit was given; a text is printed."""
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


def live(request: dict) -> None:
    """All that is left of a fork's life.

    Python itself would take the modules apart before it ends, which for torch takes a second.
    """
    status = 1
    try:
        become(**request)
        status = 0
    except SystemExit as end:
        status = status_at_end(end)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    import torch  # noqa: F401

    gc.freeze()  # else a collection in a fork would copy all of torch
    own_request = serve()
    if own_request:
        live(own_request)
