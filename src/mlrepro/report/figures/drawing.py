"""What all figures share: their style, how they are written, and what remembers that they were."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic_core import to_json

from mlrepro.terminal import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0  # inches; at 100 dots an inch the width that GitHub gives a page
POINTS = 72  # an inch

STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "xtick.bottom": False,
    "ytick.left": False,
    "figure.dpi": 150,
    "svg.hashsalt": "mlrepro",
    "svg.fonttype": "none",
    "legend.frameon": False,
    "lines.markersize": 5,
    # Without it, each draw looks whether ticks are in a title's way.
    "axes.titley": 1.0,
    # A label may hold dollar signs.
    "text.parse_math": False,
    # Not to be seen at this resolution, and a tenth of a drawing.
    "text.hinting": "none",
    # Verdana where an SVG finds no DejaVu; by default this is a list of ten.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
}

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
LINES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">"]

# What decides how data are drawn: this code, and these libraries.
PACKAGE = Path(__file__).parents[2]
CODE = [
    *sorted(PACKAGE.glob("*.py")),
    *sorted((PACKAGE / "metrics").glob("*.py")),
    *sorted((PACKAGE / "report").rglob("*.py")),
]
LIBRARIES = ("matplotlib", "numpy", "scikit-learn")


@cache
def version(library: str) -> str:
    """Of an installed library; importlib parses a file each time."""
    return metadata.version(library)


# ---- When to draw ------------------------------------------------------------------------------


def draw(figure: Callable[..., None], data: tuple, stem: Path, options: dict) -> None:
    """figure(*data, stem, **options), unless it would give the files that are there.

    They are left where the same function, code and data last gave this PNG and this SVG, byte for
    byte; `drawn/` beside them, which is not kept in git, remembers that.
    """
    versions = [version(library) for library in LIBRARIES]
    drawn_from = to_json(
        [figure.__name__, data, options, versions],
        fallback=_digest_of_array,
    )

    memory = stem.parent / "drawn" / stem.name
    if memory.exists() and memory.read_text() == _digest(drawn_from, stem):
        return

    figure(*data, stem, **options)
    memory.parent.mkdir(exist_ok=True)
    memory.write_text(_digest(drawn_from, stem))


def _digest_of_array(array: np.ndarray) -> list:
    content = hashlib.sha256(np.ascontiguousarray(array))
    return [array.dtype.str, array.shape, content.hexdigest()]


def _digest(drawn_from: bytes, stem: Path) -> str:
    """Of what a figure is drawn from, of the code, and of its files as they are."""
    digest = hashlib.sha256(drawn_from)
    for path in [*CODE, stem.with_suffix(".png"), stem.with_suffix(".svg")]:
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()


# ---- How to draw -------------------------------------------------------------------------------


@contextmanager
def blank_figure(stem: Path, height: float) -> Iterator["Figure"]:
    """A blank figure, WIDTH by `height` inches, which is written as PNG and SVG at the end."""
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        yield figure

        for axes in figure.axes:
            _place_labels(axes)
        write(figure, stem)


def write(figure: "Figure", stem: Path) -> None:
    """Writes stem.png and stem.svg, without dates, versions or random ids."""
    _make_visible(figure)
    stem.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # A label may hold signs that the font lacks, as emoji: a box stands there, and the tables
        # beside the figure have the name.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(stem.with_suffix(".png"), metadata={"Software": None})
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _make_visible(figure: "Figure") -> None:
    """Characters that steer a terminal have no glyph, and SVG must not hold them."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        shown = visible(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)


def line_style(index: int) -> dict:
    """Colour, line and marker of the line at this place."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "linewidth": 1.3,
        "marker": MARKERS[index % len(MARKERS)],
    }


def _place_labels(axes: "Axes") -> None:
    """Labels of axes beside their ticks, by the length of what the ticks say.

    matplotlib would measure every tick several times.
    """
    for axis in (axes.xaxis, axes.yaxis):
        ticks = axis.get_majorticklabels()

        # A common factor of the ticks, such as 1e-5, is known once they are made. Its place is
        # beyond them, so then they must be measured.
        has_factor = axis.get_major_formatter().get_offset() != ""
        for tick in ticks:
            tick.set_in_layout(has_factor)

    # In points: the ticks' digits are about 6.4 wide, and a line of them with its margins 22 high.
    width, height = POINTS * axes.figure.get_size_inches() * axes.get_position().size
    longest = max((len(tick.get_text()) for tick in axes.get_yticklabels()), default=0)
    axes.xaxis.set_label_coords(0.5, -22 / height)
    axes.yaxis.set_label_coords(-(11 + 6.4 * longest) / width, 0.5)
