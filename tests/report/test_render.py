"""Templates: what they do with a missing value, and with text."""

from pathlib import Path

import pytest

from mlrepro.errors import InputError
from mlrepro.report.markdown import Markdown, picture
from mlrepro.report.render import environment, paragraph, render, render_section, write_page

PAGE = Path("reports/toy.md")


def test_a_template_that_misses_a_value_names_page_and_value():
    with pytest.raises(InputError) as error:
        render("counts.md.j2", PAGE, heading="## Number of labels", curves=None, estimates=None)
    assert str(error.value) == (
        "reports/toy.md: its template counts.md.j2 misses a value: 'positives' is undefined"
    )


def test_a_value_without_the_attribute_that_is_shown_is_named_too():
    with pytest.raises(InputError, match=r"reports/toy\.md: .* has no attribute 'title'"):
        render("comparison.md.j2", PAGE, comparison=object())


def test_a_page_that_misses_a_value_is_not_written(tmp_path):
    page = tmp_path / "toy.md"
    page.write_text("as it was")
    with pytest.raises(InputError):
        write_page("comparison.md.j2", page)
    assert page.read_text() == "as it was"


def test_every_template_can_be_read():
    names = environment().list_templates()
    assert "comparison.md.j2" in names
    for name in names:
        environment().get_template(name)


def test_a_paragraph_is_one_line():
    assert paragraph("\nIt ranks\n  first, and\nleads.\n") == "It ranks first, and leads.\n"


def test_a_section_has_no_line_end():
    curves = [picture("a", "b"), picture("c", "d")]
    text = render_section("epochs.md.j2", PAGE, curves=curves)
    assert text.startswith("## Metrics by epoch\n\nAt threshold")
    assert text.endswith("\n\n![a](b)\n\n![c](d)")


def test_users_labels_are_escaped_in_both_media():
    values = {"title": "<b>", "columns": [], "rows": [], "total": 0, "csv": "a.csv"}
    assert "<h1>&lt;b&gt;</h1>" in render("review.html.j2", PAGE, **values)

    text = render("epochs.md.j2", PAGE, curves=["<b>", Markdown("<b>")])
    assert text.endswith("\n\n\\<b\\>\n\n<b>\n"), "markdown stays as it is"
