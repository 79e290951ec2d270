"""Confusion matrices of labels."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlrepro.records import ClassResult
from mlrepro.report.figures.drawing import blank_figure
from mlrepro.terminal import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = 42  # a figure's worth
BLOCKS_IN_ROW = 6
BLOCK = 3  # cells a side: a 2 x 2 matrix, with room to its left and below
COLUMNS = BLOCK * BLOCKS_IN_ROW  # of cells


def confusion_matrices(classes: list[ClassResult], stem: Path) -> None:
    """Counts by label, shaded by their share of the row, in sklearn's order.

    The labels with most errors. Figure 7 of the MIRFLICKR study.
    """
    worst = sorted(classes, key=_errors, reverse=True)[:LABELS]
    block_rows = math.ceil(len(worst) / BLOCKS_IN_ROW)
    rows = BLOCK * block_rows

    # One picture of all blocks; what lies between them stays blank.
    shares = np.full((rows, COLUMNS), np.nan)

    with blank_figure(stem, 0.3 + 1.5 * block_rows) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.5, COLUMNS - 0.3), ylim=(rows - 0.9, -1.1))

        for place, c in enumerate(worst):
            block_row, block_column = divmod(place, BLOCKS_IN_ROW)
            x = BLOCK * block_column + 1
            y = BLOCK * block_row
            counts = np.reshape(c.confusion, (2, 2))
            pictures = np.maximum(1, counts.sum(axis=1, keepdims=True))
            shares[y : y + 2, x : x + 2] = counts / pictures
            _write_block(axes, x, y, counts, c.name)

            # What rows and columns are is said once a row of blocks, and once a column of them.
            first_in_row = block_column == 0
            last_in_column = place + BLOCKS_IN_ROW >= len(worst)
            _name_sides(axes, x, y, rows=first_in_row, columns=last_in_column)

        # The darkest blue is beyond 1, so that black numbers can be read on every shade.
        x_edges = np.arange(-0.5, COLUMNS)
        y_edges = np.arange(-0.5, rows)
        axes.pcolormesh(
            x_edges,
            y_edges,
            shares,
            cmap="Blues",
            vmin=0,
            vmax=1.6,
            edgecolors="white",
        )
        axes.set_axis_off()


def _errors(c: ClassResult) -> int:
    _, false_positives, false_negatives, _ = c.confusion
    return false_positives + false_negatives


def _write_block(axes: "Axes", x: int, y: int, counts: np.ndarray, name: str) -> None:
    for (row, column), n in np.ndenumerate(counts):
        axes.text(x + column, y + row, n, ha="center", va="center")
    axes.text(x + 0.5, y - 0.58, one_line(name)[:20], ha="center", va="bottom")


def _name_sides(axes: "Axes", x: int, y: int, *, rows: bool, columns: bool) -> None:
    """Beside each row what the label is, below each column what was said of it."""
    for cell in (0, 1):
        if rows:
            text = ("is not", "is")[cell]
            axes.text(x - 0.58, y + cell, text, ha="right", va="center", fontsize=8)

        if columns:
            text = ("said no", "said yes")[cell]
            axes.text(x + cell, y + 1.58, text, ha="center", va="top", fontsize=8)
