"""Tables of pages as CSV and LaTeX: what the page shows, without its markup."""

import csv
import re
from pathlib import Path

import pytest
from hostile_text import HOSTILE
from test_pages import write

from mlrepro.report.latex import booktabs, escape
from mlrepro.report.markdown import Markdown, code, link, table
from mlrepro.report.table_files import plain, read_tables, write_tables
from mlrepro.terminal import visible


def page_with(*tables: str) -> str:
    return "# Page\n\n" + "\n\n".join(f"## Part {n}\n\n{text}" for n, text in enumerate(tables))


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a*b_c|d", "a*b_c|d"),
        (HOSTILE, visible(" ".join(HOSTILE.split()))),
        (code("a`b|c"), "a`b|c"),
        (code("x\\y"), "x\\y"),
        (link("a [b]", "https://example.org/(c)"), "a [b]"),
        (Markdown("**mAP, all**"), "mAP, all"),
        ("≈ -0.47 ± 4.58", "≈ -0.47 ± 4.58"),
    ],
)
def test_cells_are_read_as_they_are_shown(cell, shown):
    page = page_with(table("lr", ["name", "a|b"], [[cell, "1"]]))
    [found] = read_tables(page)
    assert found.rows == [[shown, "1"]]
    assert found.headers == ["name", "a|b"]
    assert found.align == "lr"
    assert found.heading == "Part 0"


def test_code_in_prose_and_entities_are_text():
    assert plain(r"1\. `a` &lt;b&gt; ![alt](x.png)") == "1. a <b> alt"


def test_every_table_of_a_page_is_a_csv_and_a_tex(tmp_path):
    text = write(tmp_path)
    files = sorted(path.name for path in (tmp_path / "tables" / "own-data-toy").iterdir())
    tables = list(read_tables(text))
    assert len(files) == 2 * len(tables) == 2 * len(re.findall(r"^\|:?-", text, re.MULTILINE))
    assert "01-ranking.csv" in files and "01-ranking.tex" in files
    assert "`tables/own-data-toy` beside it" in text

    path = tmp_path / "tables" / "own-data-toy" / "01-ranking.csv"
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == tables[0].headers
    assert rows == tables[0].rows
    assert rows[0][1].startswith("query2label-asl-")


def test_tables_that_a_page_no_longer_has_are_removed(tmp_path):
    page = tmp_path / "a.md"
    one = table("l", ["a"], [["1"]])
    write_tables(page, page_with(one, one))
    folder = tmp_path / "tables" / "a"
    (folder / "notes.txt").write_text("mine")
    assert len(list(folder.glob("*.tex"))) == 2
    before = (folder / "01-part-0.tex").stat().st_mtime_ns

    write_tables(page, page_with(one))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["01-part-0.csv", "01-part-0.tex", "notes.txt"]
    assert (folder / "01-part-0.tex").stat().st_mtime_ns == before


def test_a_page_without_tables_leaves_nothing(tmp_path):
    write_tables(tmp_path / "a.md", "# A\n\ntext | with a pipe\n")
    assert not list(Path(tmp_path).iterdir())


def test_latex_of_a_table():
    text = booktabs("lr", ["run", "100 %"], [["a_b & c", "-1.5 ± 0.2"], ["[x]", "-"]], "demo\n1")
    assert text.splitlines() == [
        r"% demo 1. Needs \usepackage{booktabs}.",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"run & 100 \% \\",
        r"\midrule",
        r"a\_b \& c & $-$1.5 $\pm$ 0.2 \\",
        r"{}[x] & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_takes_every_text_for_text():
    assert escape("\\input{/etc/passwd}$x^2$ ~#\n%") == (
        r"\textbackslash{}input\{/etc/passwd\}\$x\textasciicircum{}2\$ "
        r"\textasciitilde{}\# \%"
    )
    assert booktabs("l", ["h"], [["2026-11-29, 1-3"]], "c").count("$-$") == 0
