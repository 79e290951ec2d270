"""A real browser without a window: headless Chromium, told what to do through a pipe.

The protocol is Chrome's DevTools: JSON messages that end in a zero byte. It needs no other package.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def skip_without_browser() -> str:
    """The browser's program. Skips the test where there is none, and says how to have one."""
    for name in NAMES:
        program = shutil.which(name)
        if program:
            return program
    pytest.skip(f"no browser here ({', '.join(NAMES)}): apt-get install chromium")


class Browser:
    """One page. profile: the folder in which the browser keeps what pages store."""

    def __init__(self, profile: Path, downloads: Path):
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # The browser reads from 3 and writes to 4.
        script = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                script,
                skip_without_browser(),
                *options,
                f"--user-data-dir={profile}",
                "--window-size=1200,900",
            ],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._reader = os.fdopen(self._answers, "rb")
        self._number = 0
        self._session = None
        self.errors: list[str] = []

        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Runtime.enable")
        self._call("Page.enable")
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        """As a person closes it, so that it writes what pages have stored."""
        self._session = None
        self._call("Browser.close")
        self._process.wait(PATIENCE)
        self._reader.close()
        os.close(self._commands)

    def open(self, address: str) -> None:
        self._call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, code: str):
        """The value of JavaScript in the page."""
        done = self._call("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def press(self, key: str) -> None:
        """A key of the keyboard: a letter, or a name such as ArrowRight."""
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def drop(self, file: Path, selector: str) -> None:
        """Chooses a file in an <input type=file>."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def wait(self, condition: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def _call(self, method: str, **parameters) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> dict:
        content = bytearray()
        while True:
            byte = self._reader.read(1)
            assert byte, "the browser has ended"
            if byte == b"\0":
                return json.loads(content)
            content += byte


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.02)
