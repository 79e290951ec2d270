"""Nothing that is printed steers the terminal, whatever files and labels are called."""

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, stage, write_yaml
from PIL import Image
from tqdm import tqdm

from mlrepro.terminal import STEERING, one_line, safe_output, visible
from mlrepro_cli.predict.formats import CsvTable, JsonLines

# Clears the screen, turns text red, rings, is a C1 control, turns the direction, goes back.
EVIL = "e\x1b[2J\x1b[31m\x07\x9b\u202e\rvil"
SHOWN = r"e\x1b[2J\x1b[31m\x07\x9b\u202e\rvil"


def test_what_becomes_visible():
    assert visible(EVIL) == SHOWN
    assert visible(os.fsdecode(b"caf\xe9.jpg")) == r"caf\udce9.jpg"
    assert one_line("a\nb\tc") == "a\\nb\tc"

    kept = "a\n\tb, é 写真 الصورة 👩‍🔬 \\x1b $a_b$"
    assert visible(kept) == kept


def printed(make) -> tuple[str, str]:
    """What a function prints within `safe_output`, to stdout and to stderr."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        patch.setattr(sys, "stderr", errors)
        with safe_output():
            make()
    return output.getvalue(), errors.getvalue()


def test_all_that_is_printed_inside():
    def make() -> None:
        print(EVIL, file=sys.stderr)
        print(EVIL, "\r")
        sys.stdout.writelines([EVIL, "\n"])

    output, errors = printed(make)
    assert output == f"{SHOWN} \\r\n{SHOWN}\n"
    assert errors == f"{SHOWN}\n"


def test_a_bar_is_drawn_and_what_stands_in_it_is_visible():
    def make() -> None:
        with tqdm(total=2, desc=EVIL, mininterval=0) as bar:
            bar.update(2)
            tqdm.write(EVIL)

    output, errors = printed(make)
    assert output == f"{SHOWN}\n"
    assert f"\r{SHOWN}: 100%" in errors
    assert not STEERING.search(errors.replace("\r", ""))


def test_a_traceback_is_visible_too():
    def make() -> None:
        raise RuntimeError(EVIL)

    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(sys, "stderr", errors)
        with safe_output():
            make()
    assert stopped.value.code == 1
    assert errors.getvalue().endswith(f"RuntimeError: {SHOWN}\n")
    assert "Traceback" in errors.getvalue()


# ---- Commands and stages -----------------------------------------------------------------------

# What a file may be called.
EVIL_FILE = f"{EVIL}\n.png"
TO = Path("studies/own-data")


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    """A user's pictures in folders of labels, in whose names is everything that may be there."""
    repository = tmp_path / "repository"
    (repository / TO).mkdir(parents=True)
    shutil.copy(ROOT / TO / "budgets.yaml", repository / TO)
    shutil.copytree(ROOT / "stages", repository / "stages")
    monkeypatch.chdir(repository)

    folder = tmp_path / f"{EVIL} pictures"
    for index in range(24):
        label = folder / f"{EVIL}\n{index % 2}"
        label.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (index, 0, 0)).save(label / f"{index}{EVIL_FILE}")
    (label / f"bad{EVIL_FILE}").write_text("no picture")
    Image.new("RGB", (8, 8)).save(folder / f"unused{EVIL_FILE}")
    os.mkfifo(label / f"pipe{EVIL_FILE}")
    return folder


def in_a_terminal(*command: str) -> str:
    """What a terminal gets from a command."""
    terminal, own_side = pty.openpty()
    process = subprocess.Popen(command, stdout=own_side, stderr=own_side, stdin=subprocess.DEVNULL)
    os.close(own_side)
    received = b""
    try:
        while chunk := os.read(terminal, 1 << 16):
            received += chunk
    except OSError:  # nobody has the other side open any more
        pass
    finally:
        os.close(terminal)
    process.wait()
    return received.decode()


def assert_harmless(received: str) -> None:
    """Nothing steers the terminal but what ends lines and draws bars."""
    assert "vil" in received
    assert not STEERING.search(received.replace("\r\n", "\n").replace("\r", ""))
    assert "e\r" not in received
    assert "Traceback" not in received


COMMAND = [sys.executable, "-c", "import sys; from mlrepro_cli.main import main; sys.exit(main())"]


def test_init_data_and_prepare(pictures):
    received = in_a_terminal(*COMMAND, "init-data", str(pictures), "--partial")
    assert_harmless(received)
    assert "Written:" in received, received

    arguments = ["studies/own-data/params.yaml", "my-e-2J-31m-vil-pictures"]
    for name in ("download", "prepare"):
        received = in_a_terminal(sys.executable, f"stages/{name}.py", *arguments)
        assert not STEERING.search(received.replace("\r", "")), received
        assert "Traceback" not in received


def test_errors_of_the_command(pictures):
    received = in_a_terminal(*COMMAND, "init-data", str(pictures / EVIL))
    assert_harmless(received)
    assert "error: " in received

    # As a shell makes it of `init-data *`.
    received = in_a_terminal(*COMMAND, "init-data", *map(str, pictures.iterdir()))
    assert_harmless(received)
    assert "unrecognized arguments" in received


def test_an_error_of_a_stage(pictures):
    repository = Path.cwd()
    settings = {"data": {"toy": {"format": "csv", "folder": EVIL, "table": "t.csv"}}}
    write_yaml(repository / "evil.yaml", settings)
    done = stage(repository, "prepare", "evil.yaml", "toy", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert SHOWN in done.stderr
    assert not STEERING.search(done.stdout + done.stderr)


def test_what_predict_writes_stays_what_it_is():
    """In a file; on a terminal, a table in CSV has no other way to say it."""
    answer = {"image": EVIL_FILE, "labels": [EVIL_FILE], "scores": {EVIL_FILE: 0.5}}
    lines, table = io.StringIO(), io.StringIO()
    JsonLines(lines, [EVIL_FILE]).write(answer)
    CsvTable(table, [EVIL_FILE]).write(answer)
    assert not STEERING.search(lines.getvalue())
    assert json.loads(lines.getvalue()) == answer
    header, row = csv.reader(io.StringIO(table.getvalue(), newline=""))
    assert header[3] == row[0] == row[2] == EVIL_FILE

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    CsvTable(terminal, [EVIL_FILE]).write(answer)
    assert not STEERING.search(terminal.getvalue())


@pytest.mark.parametrize(
    "work", ["print(number)", "print(number, flush=True)", "sys.exit(print(1))"]
)
def test_a_reader_that_has_had_enough(work):
    """As `| head -1`: no traceback, nothing of Python's own at the end."""
    code = (
        "import sys; from mlrepro.terminal import safe_output\n"
        "with safe_output():\n"
        "    sys.stdin.readline()\n"
        f"    for number in range(100_000): {work}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What is printed is written when there is much, or at the end.
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    )
    process.stdout.close()
    _, errors = process.communicate("go\n")
    assert errors == ""
    assert process.returncode == 141  # 128 and SIGPIPE, as of a program that it ends
