"""The pages in docs/: numbers are those of the records, links and commands lead somewhere."""

import re
from pathlib import Path

import pytest

from mlrepro.records import read_record
from mlrepro_cli.main import VERBS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_protocol_numbers_are_those_of_the_records():
    pattern = re.compile(
        r"\| ([\d.]+) \| ([\d.]+) \| ([+-][\d.]+) \| \[`(\w+)\.(\w+)`, `(\w+)\.(\w+)`\]\((\S+)\) \|"
    )
    rows = pattern.findall((DOCS / "protocols.md").read_text(encoding="utf-8"))
    assert len(rows) == 11
    for first, second, points, *names, path in rows:
        assert path.startswith("records/")  # kept for this page: a run replaces all others
        measurements = read_record(DOCS / path).measurements
        a, b = (measurements[names[i]].metrics[names[i + 1]] for i in (0, 2))
        assert (f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}") == (first, second, points), path


@pytest.mark.parametrize(
    "page", [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name
)
def test_links_and_verbs_exist(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link
    for verb in re.findall(r"^\s*mlrepro ([\w-]+)", text, re.MULTILINE):
        assert verb in VERBS, verb
