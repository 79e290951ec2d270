"""Text as somebody writes it who wants to break pages, and what a page must not become by it."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt

from mlrepro.terminal import STEERING

# Of each medium what steers it: a terminal, HTML, and blocks, links, code and cells of markdown.
HOSTILE = (
    "- x\x1b[31m\r\x07\x9b\u202e <img src=x onerror=alert(1)> [evil](javascript:alert(1)) "
    "![evil](http://evil.example/a.png) `a` ``b | *c* _d_ ~~e~~ &lt;evil&gt; \\"
    "\n\n# evil\n\n```\n<script>alert(1)</script>\n\n| evil | b |\n|---|---|\n</details></td>"
)

# The only HTML of ours.
OWN_HTML = re.compile(r"<br>|</?details>|<summary>[\w ,†]*</summary>")

# What stands in blocks of code.
OWN_COMMAND = re.compile("(dvc repro|mlrepro export|mlrepro predict) ")

Values = dict | list | str


def leaves(values: Values, path: tuple = ()) -> Iterator[tuple]:
    """Where in nested values texts stand."""
    if isinstance(values, str):
        yield path
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from leaves(value, (*path, index))


def replaced(values: Values, path: tuple, text: str = HOSTILE) -> Values:
    """The same values with another text at one place."""
    if not path:
        return text
    key, *rest = path
    if isinstance(values, list):
        return [
            replaced(value, rest, text) if index == key else value
            for index, value in enumerate(values)
        ]
    return values | {key: replaced(values[key], rest, text)}


def assert_harmless(page: str) -> None:
    """Nothing of HOSTILE does anything on a page of markdown."""
    assert not STEERING.search(page)

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for block in parser.parse(page):
        assert block.type != "html_block" or not OWN_HTML.sub("", block.content).strip(), block
        if block.type == "fence":
            assert all(OWN_COMMAND.match(line) for line in block.content.splitlines()), block
        for token in block.children or []:
            assert token.type != "html_inline" or OWN_HTML.fullmatch(token.content), token
            for target in (token.attrs.get("href"), token.attrs.get("src")):
                assert "evil" not in (target or "") and "script" not in (target or ""), target

    _assert_no_block_is_evil(parser, page)


def _assert_no_block_is_evil(parser: MarkdownIt, page: str) -> None:
    """No heading and no column of a table is of the text's making."""
    opened = None
    for block in parser.parse(page):
        if block.type in ("heading_open", "th_open"):
            opened = block.type
        elif block.type == "inline":
            assert not (opened and block.content.strip() == "evil"), block
            opened = None
