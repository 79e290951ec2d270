"""The index of all pages."""

from pathlib import Path

import pytest
from made_up_study import made_up_study
from test_tables import cells

from mlrepro.errors import InputError
from mlrepro.report.overview import write_index


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """A folder that holds the made-up study, under the name `study`."""
    folder = tmp_path_factory.mktemp("made")
    made_up_study(folder / "study")
    return folder


def index_text(reports: Path, studies: Path) -> str:
    write_index(reports, studies)
    return (reports / "README.md").read_text(encoding="utf-8")


def test_the_index_counts_numbers_by_verdict(studies, tmp_path):
    text = index_text(tmp_path, studies)
    tables = [cells(block) for block in text.split("\n\n") if block.startswith("|")]
    by_kind, by_study, holding, differences, not_run = tables

    assert by_study[1][0] == "study"
    assert dict(zip(by_study[0][2:], by_study[1][2:], strict=True)) == {
        "numbers": "13",
        "reproduced": "2",
        "differs": "4",
        "incomplete": "2",
        "not run": "3",
        "not comparable": "2",
        "does not add up": "0",
    }

    # Every number has one verdict, in each of the two tables.
    assert by_kind[-1][1:7] == by_study[1][2:8]
    assert sum(int(cell) for cell in by_kind[-1][2:7]) == 13
    assert len(differences) == 1 + 4
    assert [row[1:] for row in holding[1:]] == [
        ["mAP", "1 of 3"],
        ["F1, precision, recall, IoU", "1 of 2"],
    ]
    assert sum(int(row[2]) for row in not_run[1:]) == 3

    first_sentence = text.split("\n\n")[1]
    said = (
        "**13 printed numbers: 2 reproduced, 4 differ, 2 incomplete, 3 not run, 2 not comparable.**"
    )
    assert said in first_sentence


def test_the_index_lists_other_pages_with_their_first_sentence(studies, tmp_path):
    (tmp_path / "own-data-toy.md").write_text(
        "# Toy\n\nMade of mAP 0.5\nby e.g. nobody. More.\n\n## Result\n"
    )
    (tmp_path / "demo.md").write_text("# Demo\n\nWhat it is! More.\n")
    listed = (
        "- [Demo](demo.md): What it is!\n"
        "- [Toy](own-data-toy.md): Made of mAP 0.5 by e.g. nobody.\n"
    )

    assert index_text(tmp_path, studies).endswith("\n\n## Other pages\n\n" + listed)

    # Nor does it list itself, now that it is there.
    assert index_text(tmp_path, studies).endswith("\n\n## Other pages\n\n" + listed)

    # Without a study, other pages than which?
    assert index_text(tmp_path, tmp_path / "nothing") == "# Reports\n\n" + listed


def test_the_index_of_nothing_says_what_makes_the_first_page(tmp_path):
    text = index_text(tmp_path, tmp_path / "nothing")
    assert text == "# Reports\n\nNo page has been made yet: `dvc repro` makes the first.\n"


def test_a_page_without_a_title_is_an_error(studies, tmp_path):
    (tmp_path / "notes.md").write_text("no title")
    with pytest.raises(InputError, match=r"notes\.md: does not begin with"):
        write_index(tmp_path, studies)
