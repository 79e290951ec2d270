"""The Makefile's installation, with a Python and a pip that only note what they are asked for."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

# Called as the Makefile calls Python: `-c <code>` for the version, `-m venv .venv`. By a shell, for
# the first line of a script cannot name an interpreter whose path has spaces.
PYTHON = """\
#!/bin/sh
if [ "$1" = -c ]; then
    exec {real} -c "import sys; sys.version_info = {version}; $2"
fi
mkdir .venv/bin
cp pip .venv/bin/pip
"""
PIP = '#!/bin/sh\necho "$@" >> installed.txt\n'
INTERRUPTED_PIP = "#!/bin/sh\nkill -9 $PPID\n"


@pytest.fixture
def folder(tmp_path):
    """A path with spaces, as a user's may be."""
    folder = tmp_path / "my own clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(folder, target: str, version=(3, 12), pip: str = PIP) -> subprocess.CompletedProcess:
    python = PYTHON.format(real=shlex.quote(sys.executable), version=version)
    for name, script in (("python", python), ("pip", pip)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)

    # None of make's own variables, which it has if this test runs below `make test`.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", target, "PYTHON=./python"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def installed(folder) -> list[str]:
    path = folder / "installed.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_it_says_what_it_does_before_it_starts(folder):
    done = make(folder, ".venv/base")
    assert not done.returncode, done.stderr
    said, started = done.stdout.split(".venv/bin/pip install")
    assert "GB" in said and "minutes" in said
    assert " -q" not in started  # pip shows its progress
    assert installed(folder) == [
        "install --disable-pip-version-check -c constraints.txt -e .",
    ]


@pytest.mark.parametrize(
    ("target", "extras", "fresh"),
    [
        (".venv/dev", ".[dev]", [".venv/base", ".venv/dev"]),
        (".venv/all", ".[dev,all]", [".venv/base", ".venv/dev", ".venv/all"]),
    ],
)
def test_a_larger_installation_includes_the_smaller_ones(folder, target, extras, fresh):
    assert not make(folder, target).returncode
    assert installed(folder)[0].endswith(f"-e {extras}")
    for smaller in fresh:
        assert "up to date" in make(folder, smaller).stdout
    assert len(installed(folder)) == 1


def test_a_changed_list_of_packages_is_installed_into_what_is_there(folder):
    make(folder, ".venv/base")
    (folder / ".venv" / "mine").touch()
    later = (folder / ".venv" / "base").stat().st_mtime + 10
    os.utime(folder / "constraints.txt", (later, later))

    assert not make(folder, ".venv/base").returncode
    assert len(installed(folder)) == 2
    assert (folder / ".venv" / "mine").exists()


def test_an_interrupted_installation_is_made_anew(folder):
    assert make(folder, ".venv/base", pip=INTERRUPTED_PIP).returncode
    assert not (folder / ".venv" / "base").exists()
    (folder / ".venv" / "half of a package").touch()

    done = make(folder, ".venv/base")
    assert not done.returncode, done.stderr
    assert "interrupted: .venv is made anew" in done.stdout
    assert not (folder / ".venv" / "half of a package").exists()
    assert len(installed(folder)) == 1
    assert "up to date" in make(folder, ".venv/base").stdout


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ((3, 10), "Python 3.11 or newer is needed: make PYTHON=python3.11"),
        ((3, 15), "Python 3.11 to 3.14 is needed: make PYTHON=python3.14"),
    ],
)
def test_versions_of_python_that_cannot_be(folder, version, message):
    done = make(folder, ".venv/base", version=version)
    assert done.returncode
    assert message in done.stderr
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 11), (3, 14)])
def test_versions_of_python_that_can_be(folder, version):
    assert not make(folder, ".venv/base", version=version).returncode
