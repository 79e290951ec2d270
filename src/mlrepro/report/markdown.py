"""Pieces of markdown: numbers with their spread, cells, tables. An absent value is "-"."""

import re

from tabulate import tabulate

from mlrepro.judging import mean_and_std

ABSENT = "-"

# Table rows beyond which a table by class is folded away.
FOLD_AFTER = 30

MARKDOWN_CHARACTERS = re.compile(r"([\\`*_<>|\[\]~])")


def number(value: float | None, decimals: int = 2) -> str:
    return ABSENT if value is None else f"{value:.{decimals}f}"


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


def code(text: str) -> str:
    return f"`{text}`"


def escape(text: str) -> str:
    """A user's label as literal markdown text in one table cell."""
    one_line = " ".join(text.split())
    return MARKDOWN_CHARACTERS.sub(r"\\\1", one_line)


def table(align: str, headers: list[str], rows: list[list[str]]) -> str:
    """A table in GitHub's markdown. `align`: one letter a column, l or r."""
    sides = [{"l": "left", "r": "right"}[letter] for letter in align]

    # Not tabulate's `github`, which writes no colons.
    return tabulate(rows, headers, tablefmt="pipe", colalign=sides, disable_numparse=True)


def folded(text: str, rows: int, title: str) -> str:
    """The text, behind its title where it has many rows."""
    if rows <= FOLD_AFTER:
        return text
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
