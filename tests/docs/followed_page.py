"""Does what a page of docs/ says, block by block.

A line before each fenced block says where the block goes:

    `path`:                 a new file
    `path`, in `NAME`:      below the line with which the list NAME begins
    `path`, before `NAME`:  before the line that begins with NAME

A block of commands (sh) has no such line.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import forks
import yaml
from conftest import ROOT

BLOCK = re.compile(
    r"(?:^`(?P<path>[^`\n]+)`(?:, (?P<where>in|before) `(?P<name>\w+)`)?:\n\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
WITHOUT_CACHES = shutil.ignore_patterns("__pycache__", "*.egg-info")


@dataclass(frozen=True)
class Block:
    """One fenced block. path: none for commands. where: in or before the line `name`, or none."""

    path: str | None
    where: str | None
    name: str | None
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [Block(**match.groupdict()) for match in BLOCK.finditer(text)]

    # None was missed: each block has an opening and a closing fence.
    assert len(re.findall("^```", text, re.MULTILINE)) == 2 * len(blocks)
    for block in blocks:
        assert (block.path is None) == (block.language == "sh"), block
    return blocks


def follow(page: str, repository: Path) -> list[str]:
    """Writes every block of the page into the repository. Returns the lines of its commands."""
    commands = []
    for block in blocks_of(page):
        if block.path is None:
            commands += block.text.splitlines()
        elif block.where is None:
            write_new_file(repository / block.path, block.text)
        else:
            insert(repository / block.path, block)
    return commands


def write_new_file(path: Path, text: str) -> None:
    assert not path.exists(), f"{path} is no new file"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def insert(path: Path, block: Block) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    beginning = re.compile(rf"{block.name}\b.*")
    if block.where == "in":
        beginning = re.compile(rf"{block.name}\b.*[{{(\[:]\n")

    places = [number for number, line in enumerate(lines) if beginning.match(line)]
    assert len(places) == 1, f"{path}: {len(places)} lines begin with {block.name}"

    place = places[0] + (block.where == "in")
    lines.insert(place, block.text)
    path.write_text("".join(lines), encoding="utf-8")


def copy_of_repository(folder: Path) -> Path:
    """Code, stages and settings, as a user has them before any run."""
    for name in ("src", "stages", "runs"):
        shutil.copytree(ROOT / name, folder / name, ignore=WITHOUT_CACHES)
    for name in ("params.yaml", "dvc.yaml", "data/params.yaml", "studies/pipelines.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(repository: Path, *command: str) -> str:
    """Runs `python ...` with the code of the repository; gives its output. It must succeed."""
    return forks.run(*command, folder=repository, PYTHONPATH=str(repository / "src"))


def run_stage(repository: Path, dvc_file: str, stage: str, **item: str) -> str:
    """Runs the command of a stage as the pipeline has it. item: the run and seed of a matrix."""
    stages = yaml.safe_load((repository / dvc_file).read_text(encoding="utf-8"))["stages"]
    command = stages[stage]["cmd"]
    for key, value in item.items():
        command = command.replace(f"${{item.{key}}}", value)

    python, *arguments = command.split()
    assert python == "python"
    return run(repository, *arguments)
