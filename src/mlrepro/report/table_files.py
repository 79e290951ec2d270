"""Every table of a page as CSV and LaTeX, in tables/<page>/ beside it.

They are read back from the page's text, so that they hold what the page shows. Git does not keep
them: they say nothing that the page does not say, and would be more files than all others.
"""

import csv
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlrepro.files import write_bytes
from mlrepro.report.latex import booktabs

FOLDER = "tables"

# The line below a table's headers.
RULE = re.compile(r"\|(:?-+:?\|)+")
HEADING = re.compile(r"#+ (.*)")
# A cell and the pipe that ends it; a pipe within a cell has a backslash before it. Possessive, so
# that a line without a last pipe is not tried in every way.
CELL = re.compile(r"((?:[^|\\]++|\\.)*+)\|")

# Pieces of a cell, in the order in which they are looked for. Code ends with as many backticks as
# it begins with; a picture leaves the text that stands in its place.
PIECES = re.compile(
    r"\\(?P<literal>[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|!?\[(?P<link>(?:\\.|[^\]\\])*)\]\([^)]*\)"
    r"|(?P<entity>&#?\w+;)"
    r"|(?P<break><br>)"
    r"|(?P<emphasis>\*+)"
)
NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
LONGEST_SLUG = 60  # characters of a file's name


@dataclass(frozen=True)
class PageTable:
    """A table of plain text. heading: of the section that it stands in. align: l or r a column."""

    heading: str
    align: str
    headers: list[str]
    rows: list[list[str]]


def write_tables(page: Path, text: str) -> None:
    """Writes those of a page, and removes those that it had before."""
    folder = page.parent / FOLDER / page.stem
    files = {}
    for number, table in enumerate(read_tables(text), 1):
        name = f"{number:02}-{_slug(table.heading)}"
        comment = f"{page.name}, {table.heading}, table {number}"
        files[f"{name}.csv"] = _csv(table)
        files[f"{name}.tex"] = booktabs(table.align, table.headers, table.rows, comment)

    for path in folder.glob("*.*"):
        if path.suffix in (".csv", ".tex") and path.name not in files:
            path.unlink()
    if files:
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write_if_changed(folder / name, content.encode())


def _write_if_changed(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def _slug(heading: str) -> str:
    """A heading as part of a file's name."""
    words = NOT_IN_NAMES.sub("-", heading.lower()).strip("-")
    return words[:LONGEST_SLUG].rstrip("-") or "table"


def _csv(table: PageTable) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.headers)
    writer.writerows(table.rows)
    return text.getvalue()


# ---- Reading a page ------------------------------------------------------------------------------


def read_tables(text: str) -> Iterator[PageTable]:
    """The tables of a page's markdown, in their order."""
    heading = ""
    lines = text.splitlines()
    for place, line in enumerate(lines):
        if match := HEADING.fullmatch(line):
            heading = plain(match[1])
        if place and RULE.fullmatch(line) and lines[place - 1].startswith("|"):
            headers = _cells(lines[place - 1])
            rules = line.split("|")[1:-1]
            align = "".join("r" if rule.endswith(":") else "l" for rule in rules)
            yield PageTable(heading, align, headers, _rows(lines, place + 1))


def _rows(lines: list[str], start: int) -> list[list[str]]:
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append(_cells(line))
    return rows


def _cells(line: str) -> list[str]:
    return [plain(cell) for cell in CELL.findall(line.removeprefix("|"))]


def plain(markdown: str) -> str:
    """The text that a cell or a heading shows, without its markup."""
    return PIECES.sub(_piece, markdown.strip())


def _piece(match: re.Match) -> str:
    if match["literal"]:
        return match["literal"]
    if match["code"]:
        return _code(match["code"])
    if match["link"] is not None:
        return plain(match["link"])
    if match["entity"]:
        return html.unescape(match["entity"])
    return " " if match["break"] else ""


def _code(text: str) -> str:
    """Within backticks only a pipe is escaped; a space on either side keeps backticks apart."""
    if text.startswith(" ") and text.endswith(" ") and text.strip():
        text = text[1:-1]
    return text.replace(r"\|", "|")
