"""Text and tables for LaTeX, with the package booktabs."""

import re
from collections.abc import Sequence

from mlrepro.report.markdown import ABSENT

# What LaTeX takes for a command, and what its usual fonts lack.
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "†": r"$\dagger$",
    "°": r"$^\circ$",
    "×": r"$\times$",
    "²": "$^2$",
    "ᵗ": r"\textsuperscript{t}",
    "ᵐ": r"\textsuperscript{m}",
}
SPECIAL_TABLE = str.maketrans(SPECIAL)

# A hyphen before a number is a minus.
NEGATIVE = re.compile(r"(?<![\w.)])-(?=\d)")

TABLE = """\
% {comment}. Needs \\usepackage{{booktabs}}.
\\begin{{tabular}}{{{align}}}
\\toprule
{header}
\\midrule
{rows}
\\bottomrule
\\end{{tabular}}
"""


def escape(text: str) -> str:
    """Text that LaTeX sets as it reads, in one line."""
    return " ".join(text.split()).translate(SPECIAL_TABLE)


def cell(text: str) -> str:
    """The same in a table: an absent value is a dash, and numbers have a minus."""
    if text == ABSENT:
        return "--"
    return NEGATIVE.sub(r"$-$", escape(text))


def booktabs(
    align: str, headers: Sequence[str], rows: Sequence[Sequence[str]], comment: str
) -> str:
    """A tabular of plain text. align: one letter a column, l or r. comment: its first line."""
    return TABLE.format(
        comment=" ".join(comment.split()),
        align=align,
        header=_row(headers),
        rows="\n".join(_row(row) for row in rows),
    )


def _row(cells: Sequence[str]) -> str:
    text = " & ".join(cell(text) for text in cells)
    # A row that begins with a bracket would be an option of the one before it.
    if text.startswith("["):
        text = "{}" + text
    return text + r" \\"
