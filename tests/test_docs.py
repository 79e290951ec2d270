"""The pages in docs/: numbers are those of the records, links and commands lead somewhere."""

import math
import re
from pathlib import Path

import pytest

from mlrepro.records import read_record
from mlrepro_cli.main import VERBS

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"


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


def test_audited_numbers_are_those_of_the_records():
    """The two tables of docs/auditing.md; choices that a detector does not have are `-`."""
    text = (DOCS / "auditing.md").read_text(encoding="utf-8")
    records = {}
    for name in "abc":
        path = DOCS.parent / "reports" / f"audit-detector_{name}.json"
        records[name] = read_record(path)
        audited = records[name].audited
        values = audited.protocols.values()
        row = re.search(rf"^\| \[{name}\].*$", text, re.MULTILINE)[0]
        assert f"| {audited.reported} | {audited.protocols['the default']:.2f} |" in row
        assert f"| {min(values):.2f} to {max(values):.2f} |" in row
        assert f"| {len(audited.given_by)} of {len(values)} | {audited.given_by[0]} |" in row

    for line in re.findall(r"^\| .*\| [-+][\d.]+ \|.*$", text, re.MULTILINE):
        choice, *points = [cell.strip() for cell in line.strip("|").split("|")]
        for record, shown in zip(records.values(), points, strict=True):
            protocols = record.audited.protocols
            change = protocols.get(choice, math.nan) - protocols["the default"]
            assert shown == ("-" if math.isnan(change) else f"{change:+.2f}"), (choice, record.name)


@pytest.mark.parametrize(
    "page", [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name
)
def test_links_and_verbs_exist(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link
    for verb in re.findall(r"^\s*mlrepro ([\w-]+)", text, re.MULTILINE):
        assert verb in VERBS, verb


def test_tests_that_a_page_names_exist():
    """`tests/file.py::test_name`, and after it `test_name` of the same file."""
    text = (DOCS / "robustness.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:tests/([\w/]+\.py)::)?(test_\w+)`", text)
    assert len(named) > 50

    file = ""
    for other_file, name in named:
        file = other_file or file
        code = (TESTS / file).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in code, f"{file}::{name}"
