"""Every text that a user can set, set to one that would break a page, on every kind of page."""

import csv
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from hostile_text import HOSTILE, assert_harmless, leaves, replaced
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_up_study import TEXT, made_up_study, reported_lines
from markdown_it import MarkdownIt
from test_pages import comparison
from test_recommend import own, write_features  # noqa: F401 (a fixture)
from test_tables import by_run, made_up_record

from mlrepro.data.manifest import read_manifest, write_manifest
from mlrepro.errors import InputError
from mlrepro.records import Failure, Record, read_failures, write_record
from mlrepro.report import markdown
from mlrepro.report.comparison import write_comparison
from mlrepro.report.overview import write_index
from mlrepro.report.review import write_review
from mlrepro.report.study_page import write_study
from mlrepro.settings.pipeline import Claim, Ordering
from mlrepro.studies.description import Description
from mlrepro.studies.reported import ReportedRow
from mlrepro.studies.results import read_study
from mlrepro.terminal import STEERING, visible

# ---- The functions -----------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\\`*_<>|[]~&;#-+=.1 \n!()"))


def shown(text: str) -> str:
    """What a reader sees of one line of markdown."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children
    assert {token.type for token in children} <= {"text", "text_special", "code_inline"}, children
    return "".join(token.content for token in children)


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
@example(HOSTILE)
@example("1. a")
@example("---")
@example("a\\")
def test_escaped_text_reads_as_it_stands(text):
    expected = visible(" ".join(text.split()))
    if not expected:
        return
    assert shown(markdown.line(text)) == expected
    assert shown(f"a {markdown.escape(text)}") == f"a {expected}"
    assert shown(f"a {markdown.name(text)}") == f"a {expected}"


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
@example(HOSTILE)
@example("``` a `` b")
@example("\\`<b>`")
def test_prose_has_no_html_and_stays_as_it_is(text):
    once = markdown.prose(text)
    assert markdown.prose(once) == once
    assert_harmless(once)


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
@example("`")
@example("`` a")
def test_code_reads_as_it_stands(text):
    expected = visible(" ".join(text.split()))
    if expected:
        assert shown(f"a {markdown.code(text)}") == f"a {expected}"


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
@example("a|b")
@example("a\\|b")
@example("`|`")
def test_a_cell_stays_one_cell(text):
    headers = ["a", text or "b"]
    rows = [[text, markdown.code(text)], ["c", "d"]]
    table = markdown.table("lr", headers, rows)

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    kinds = [token.type for token in parser.parse(table)]
    assert kinds.count("th_open") == 2, table
    assert kinds.count("td_open") == 4, table


def test_prose_keeps_what_a_person_writes():
    text = "Runs with `budget: quick` are *short*, one_cycle_ema too; 3 * 4."
    assert markdown.prose(text) == text
    assert markdown.prose(f"{text} <b> [a](b)") == text + r" \<b\> \[a\](b)"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://a.org/b?c=1", "[x](https://a.org/b?c=1)"),
        ("a page (1).md", "[x](a%20page%20%281%29.md)"),
        ("javascript:alert(1)", "x"),
        ("data:text/html,x", "x"),
    ],
)
def test_links(target, expected):
    assert markdown.link("x", target) == expected


# ---- Pages -------------------------------------------------------------------------------------


def accepted(values: dict, read) -> dict:
    """The values with HOSTILE wherever a text may be any."""
    for path in list(leaves(values)):
        changed = replaced(values, path)
        try:
            read(changed)
        except (ValueError, InputError):
            continue
        values = changed
    return values


SWEEP = {
    "id": "Figure 2",
    "title": "a",
    "text": "b",
    "setting": "loss.name",
    "series": {"one": ["gap-bce-resnet50-voc2012-224-a", "gap-bce-resnet50-voc2012-224-f"]},
}
FINDING = {
    "id": 1,
    "tables": ["1"],
    "claim": "a",
    "calculation": "b",
    "verdict": "copied",
}


@pytest.fixture
def hostile_study(tmp_path) -> Path:
    """A study whose every text is HOSTILE, as far as it may be."""
    folder = made_up_study(tmp_path / "studies" / "study")
    description = TEXT | {
        "sweeps": [SWEEP],
        "findings": [FINDING],
        "deviations": [{"id": 1, "text": "a"}],
        "needs": {
            "data": {"voc2012": {"set": "voc2012", "gigabytes": 2, "text": "a"}},
            "weights": [{"backbone": "resnet50", "weights": "some", "variant": "d"}],
        },
    }

    def read_description(values: dict) -> None:
        Description.model_validate(values)
        (folder / "study.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        read_study(folder)

    description = accepted(description, read_description)
    read_description(description)

    def read_lines(lines: list[dict]) -> None:
        for line in lines:
            ReportedRow.model_validate(line)
        with open(folder / "reported.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(ReportedRow.model_fields))
            writer.writeheader()
            writer.writerows(lines)
        read_study(folder)

    # The first column names the table, which study.yaml names, too.
    lines = reported_lines()
    for column in ReportedRow.model_fields:
        changed = [line | {column: HOSTILE} for line in lines]
        try:
            read_lines(changed)
        except (ValueError, InputError):
            continue
        lines = changed
    read_lines(lines)

    _write_failure(folder / "results" / "voc2012")
    return folder


def _write_failure(results: Path, run: str = "gap-bce-resnet50-voc2012-224-f") -> None:
    failure = Failure(stage=HOSTILE, error=HOSTILE, host=HOSTILE, log=HOSTILE)
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{run}-s0.failed").write_text(failure.model_dump_json())


def test_a_study_and_the_index(hostile_study, tmp_path):
    reports = tmp_path / "reports"
    results = read_study(hostile_study)
    write_study(results, reports / "study.md")
    text = (reports / "study.md").read_text(encoding="utf-8")
    assert_harmless(text)

    # All that a study says is there: title, authors, document, summary, tables, findings ...
    assert text.count("evil.example") > 40
    assert "Failed:" in text

    write_index(reports, hostile_study.parent)
    index = (reports / "README.md").read_text(encoding="utf-8")
    assert_harmless(index)
    assert "evil.example" in index


def hostile_record() -> dict:
    """A record whose every text is HOSTILE, as far as it may be."""
    values = made_up_record("bce", classes=["a", "b", "c"]).model_dump(mode="json")
    values["environment"] = made_up_record("bce").environment.model_dump(mode="json")
    values["provenance"]["pretrained"] = "none"

    run_id = made_up_record("bce").run.run_id

    def read(changed: dict) -> None:
        # The run id stands in file names, and nothing else may be there.
        if Record.model_validate(changed).run.run_id != run_id:
            raise ValueError("another run")

    return accepted(values, read)


def test_a_comparison_and_the_index(tmp_path):
    record = Record.model_validate(hostile_record())
    run = record.run.run_id
    missing = f"{run}-missing"
    _write_failure(tmp_path / "results", missing)
    path = tmp_path / "reports" / "toy.md"
    write_comparison(
        comparison(
            {run: [record]},
            title=HOSTILE,
            intro=HOSTILE,
            expected={run: [0], missing: [0]},
            pipeline=f"studies/{HOSTILE}/dvc.yaml",
            failures=read_failures(tmp_path / "results"),
            orderings=[Ordering(claim=HOSTILE, pairs=[(run, missing)])],
            claims=[
                Claim(
                    claim=HOSTILE, source=HOSTILE, expected={"mAP": "above"}, pairs=[(run, missing)]
                )
            ],
            reference=[_reference(run)],
        ),
        path,
    )

    text = path.read_text(encoding="utf-8")
    assert_harmless(text)
    for heading in ("Which orderings hold", "What of the claims", "Against the reference"):
        assert f"## {heading}" in text
    # Known once: a failure's line end broke the list.
    assert len([line for line in text.splitlines() if line.startswith(f"- `{missing}`")]) == 1

    write_index(path.parent, tmp_path / "studies")
    index = (path.parent / "README.md").read_text(encoding="utf-8")
    assert_harmless(index)
    assert len([line for line in index.splitlines() if line.startswith("- ")]) == 1

    for figure in (path.parent / "figures").glob("*.svg"):
        ElementTree.parse(figure)
        assert not STEERING.search(figure.read_text(encoding="utf-8"))


def _reference(run: str) -> ReportedRow:
    line = reported_lines()[0] | {"table": "reference", "run": run}
    return ReportedRow.model_validate(line | {"source": HOSTILE, "row": HOSTILE, "note": HOSTILE})


class Elements(HTMLParser):
    """The elements of a page, and the addresses in them."""

    def __init__(self, page: str):
        super().__init__()
        self.names: set[str] = set()
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name in ("href", "src")]


# The elements of the pages that open from disk, beside those of both. What labels.html shows of
# others is JSON, which its script makes text of (tests/report/test_label_errors.py).
OWN_ELEMENTS = {
    "mistakes.html": {
        "title",
        "style",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "a",
        "img",
        "em",
    },
    "labels.html": {"html", "title", "style", "details", "summary", "p", "b", "kbd", "code"}
    | {"form", "label", "select", "input", "span", "button", "div", "noscript", "script"},
}

# What a file may be called on this system.
FILE = HOSTILE.replace("/", "") + ".png"


def with_hostile_names(own) -> Record:  # noqa: F811 (the fixture)
    """The record of a manifest with the same labels and pictures under other names."""
    manifest = read_manifest(own.layout.data)
    names = [HOSTILE, "</script><svg onload=alert(1)>"]
    frame = manifest.frame.assign(image=[f"{row}{FILE}" for row in range(manifest.pictures)])
    changed = write_manifest(own.layout.data, frame, names, manifest.summary)

    record = made_up_record("bce", mAP=70.0, classes=names)
    provenance = record.provenance.model_copy(update={"manifest_sha256": changed.digest})
    run = record.run.model_copy(update={"data": "toy"})
    return record.model_copy(update={"run": run, "provenance": provenance})


def test_own_data_and_its_review(own):  # noqa: F811 (the fixture)
    """Labels and pictures' names, in the list of mistakes and in the pages that open from disk."""
    record = with_hostile_names(own)
    page = Path("reports/own-data-toy.md")
    write_comparison(
        comparison(by_run(record), expected={own.run_id: [0]}, own_data=own.layout), page
    )
    text = page.read_text(encoding="utf-8")
    assert "Its greatest mistakes" in text
    assert_harmless(text)

    write_record(record, own.layout.record(own.run_id, 0))
    write_features(read_manifest(own.layout.data))
    write_review(own.layout)
    for name, more_elements in OWN_ELEMENTS.items():
        html = (own.layout.review / name).read_text(encoding="utf-8")
        assert not STEERING.search(html)
        elements = Elements(html)
        assert elements.names <= more_elements | {"meta", "h1"}
        assert not {name for name in elements.attributes if name.startswith("on")}
        assert {address.partition(":")[0] for address in elements.addresses} <= {"file"}
