"""Pieces of markdown: text that others wrote, numbers with their spread, cells, tables.

Templates and tables take every text for literal, and show it so that it reads as it stands. What is
markdown already is of the type `Markdown`; who makes one answers for what is in it.

An absent value is "-".
"""

import html
import re
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from tabulate import tabulate

from mlrepro.judging import mean_and_std
from mlrepro.terminal import visible

ABSENT = "-"

# Table rows beyond which a table by class is folded away.
FOLD_AFTER = 30


# ---- Text --------------------------------------------------------------------------------------

# What is markup wherever it stands; `&lt;`, too, which would be shown as <.
MARKUP = re.compile(r"[\\`*_<>|\[\]~]|&(?=#?\w+;)")

# The same, but for underscores between letters or digits, which are no markup.
MARKUP_OF_NAMES = re.compile(r"[\\`*<>|\[\]~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")

# What prose may have in it: an escaped character, and code, which ends with as many backticks as it
# begins with. And what it may not: HTML, links, pictures, and code without an end.
PROSE = re.compile(
    r"\\[!-/:-@\[-`{-~]"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
    r"|(?P<markup>[\\`<>\[\]]|&(?=#?\w+;))"
)

# What makes a line a heading, an item of a list, a rule, or a fence of code.
BLOCK = re.compile(r"(?=(#{1,6}|[-+*])(\s|$)|=+$|--+$|([*_] ?){3,}$|~~~)")
NUMBERED = re.compile(r"(\d{1,9})([.)](?:\s|$))")

# What an address may have in it within parentheses.
IN_ADDRESS = "/:?#@!$&'*+,;=%~"
WEB = ("http://", "https://")


class Markdown(str):
    """Text that is markdown already: templates and tables leave it as it is."""

    __slots__ = ()


def escape(text: str) -> Markdown:
    """Text that reads as it stands, in one line of a page or one cell of a table."""
    return _literal(text, MARKUP)


def name(text: str) -> Markdown:
    """The same, of a data set, a metric or a header: ml_decoder is not written ml\\_decoder."""
    return _literal(text, MARKUP_OF_NAMES)


def line(text: str) -> Markdown:
    """The same where a line may begin with it: no heading, no item of a list, no rule."""
    return text if isinstance(text, Markdown) else _not_a_block(escape(text))


def prose(text: str) -> Markdown:
    """A person's own sentences, such as a page's intro: code and emphasis stay as they are.

    There is no HTML in them, no link and no picture, and they end with their paragraph. Prose of
    prose is the same.
    """
    return _not_a_block(PROSE.sub(_without_markup, _one_line(text)))


def code(text: str) -> Markdown:
    """Text within a sentence or a cell that reads as it stands, as code."""
    text = _one_line(text)
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)

    # A backtick beside the others would be one of them.
    space = " " if longest else ""
    ticks = "`" * (longest + 1)
    return Markdown(f"{ticks}{space}{text}{space}{ticks}")


def shell(word: str) -> Markdown:
    """A word of a command in a block of code, which a shell takes for one word."""
    return Markdown(shlex.quote(_one_line(word)))


def link(text: str, target: str) -> Markdown:
    """A link to an address of the web, or to a file beside the page; the text alone for others."""
    scheme, colon, _ = target.partition(":")
    if colon and "/" not in scheme and not target.startswith(WEB):
        return escape(text)
    return Markdown(f"[{escape(text)}]({quote(target, IN_ADDRESS)})")


def picture(alternative: str, target: str) -> Markdown:
    """A picture beside the page, and what stands in its place where it is not shown."""
    return Markdown(f"![{prose(alternative)}]({quote(target, IN_ADDRESS)})")


def _literal(text: str, markup: re.Pattern) -> Markdown:
    if isinstance(text, Markdown):
        return text
    return Markdown(markup.sub(r"\\\g<0>", _one_line(text)))


def _one_line(text: str) -> str:
    return visible(" ".join(str(text).split()))


def _without_markup(match: re.Match) -> str:
    return f"\\{match[0]}" if match["markup"] else match[0]


def _not_a_block(text: str) -> Markdown:
    """The same where a line begins with it."""
    if BLOCK.match(text):
        return Markdown(f"\\{text}")
    if NUMBERED.match(text):
        return Markdown(NUMBERED.sub(r"\1\\\2", text, count=1))  # 1. -> 1\.
    return Markdown(text)


# ---- Numbers -----------------------------------------------------------------------------------


def number(value: float | None, decimals: int = 2) -> str:
    """Without a sign before 0.00: whoever reads -0.00 looks for what it means."""
    if value is None:
        return ABSENT
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.removeprefix("-")


def signed(value: float, decimals: int = 2) -> str:
    """With a sign, except before 0.00."""
    # Rounded first: -0.001 is 0.00, too.
    text = f"{value:+.{decimals}f}"
    return text if float(text) else text[1:]


def spread(values: list[float | None], decimals: int = 2) -> str:
    """`mean ± std (n)` over seeds, the mean alone for one seed, "-" when any value is absent."""
    if not values or None in values:
        return ABSENT

    mean, std = mean_and_std(values)
    if std is None:
        return number(mean, decimals)
    return f"{mean:.{decimals}f} ± {std:.{decimals}f} ({len(values)})"


# ---- Tables ------------------------------------------------------------------------------------

# A pipe ends a cell, also within code, unless an odd number of backslashes is before it.
PIPE = re.compile(r"(?<!\\)((?:\\\\)*)\|")

# As tabulate calls them.
SIDES = {"l": "left", "r": "right"}


def table(align: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Markdown:
    """A table in GitHub's markdown. `align`: one letter a column, l or r."""
    sides = [SIDES[letter] for letter in align]
    headers = [_cell(name(header)) for header in headers]
    rows = [[_cell(cell) for cell in row] for row in rows]

    # Not tabulate's `github`, which writes no colons. Numbers stay as they were written.
    text = tabulate(rows, headers, tablefmt="pipe", colalign=sides, disable_numparse=True)
    return Markdown(text)


def _cell(text: str) -> str:
    return PIPE.sub(r"\1\\|", escape(text))


def folded(text: Markdown, rows: int, title: str) -> Markdown:
    """The text, behind its title where it has many rows."""
    if rows <= FOLD_AFTER:
        return text
    summary = html.escape(title)
    return Markdown(f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>")
