"""Figures with a row a label."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlrepro.judging import REGIMES, class_ap, mean
from mlrepro.records import ClassResult, Record, Records
from mlrepro.report.figures.drawing import POINTS, STYLE, WIDTH, blank_figure
from mlrepro.report.figures.names import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = list[float | None]

ROWS_OF_ONE_COLUMN = 40  # names; more stand in two columns
NAME_LENGTH = 22  # characters


class Marking(NamedTuple):
    marker: str
    colour: str
    filling: str


# Of the series of a figure, in their order.
MARKINGS = [
    Marking("o", "#0072B2", "#0072B2"),
    Marking("s", "#D55E00", "none"),
    Marking("^", "#009E73", "#009E73"),
]


# ---- The figures -------------------------------------------------------------------------------


def class_average_precision(best: Records, stem: Path, places: Sequence[int] | None = None) -> None:
    """AP by class of one run a regime, sorted by the first one's.

    Classes without an AP come last, without a marker. places: of the classes that are shown; none:
    all.
    """
    classes = next(iter(best.values()))[0].selected.per_class
    columns = {}
    for records in best.values():
        regime = REGIMES[records[0].run.labels]
        columns[regime] = [mean(values) for values in class_ap(records)]

    first = next(iter(columns.values()))
    if places is None:
        places = range(len(classes))

    def sort_key(place: int) -> float:
        return -1 if first[place] is None else first[place]

    # sorted() keeps the data set's order among equals, also in reverse.
    order = sorted(places, key=sort_key, reverse=True)
    names = [classes[place].name for place in order]
    series = {regime: [column[place] for place in order] for regime, column in columns.items()}
    _dots(stem, names, "AP (%)", series)


def label_distribution(record: Record, stem: Path, places: Sequence[int] | None = None) -> None:
    """Positives by class, most frequent in train first; a logarithmic axis with 0 at its left.

    places: of the classes that are shown; none: all.
    """
    classes = record.selected.per_class
    if places is not None:
        classes = [classes[place] for place in places]
    classes = sorted(classes, key=lambda c: -c.train)

    series = {"train": [c.train for c in classes]}
    if record.run.labels == "single":
        series["observed in train"] = [c.observed for c in classes]
    series["test"] = [c.test for c in classes]

    _dots(stem, [c.name for c in classes], "positives", series, logarithmic=True)


def balance(classes: list[ClassResult], stem: Path) -> None:
    """Positives of train by class before and after balancing, and `bce_weighted`'s weights.

    Figures 1 to 3 of the MIRFLICKR study in one.
    """
    classes = sorted(classes, key=lambda c: -c.train)
    series = {
        "as they are": [c.train for c in classes],
        "class-uniform draws": [c.balanced for c in classes],
        "weight of a positive": [c.weight for c in classes],
    }
    label = "positives of train; negatives / positives"
    _dots(stem, [c.name for c in classes], label, series, logarithmic=True)


# ---- What they share ---------------------------------------------------------------------------


def _dots(
    stem: Path,
    names: list[str],
    xlabel: str,
    series: dict[str, Values],
    logarithmic: bool = False,
) -> None:
    """A row a name, a marker a series; many names stand in two columns.

    Values are percent, or counts on a logarithmic axis.
    """
    parts = 1 if len(names) <= ROWS_OF_ONE_COLUMN else 2
    length = math.ceil(len(names) / parts)
    height = 1.1 + 0.21 * length
    largest = max((value for values in series.values() for value in values if value), default=1)

    with blank_figure(stem, height) as figure:
        panels = figure.subplots(1, parts, sharex=True, squeeze=False)[0]

        # Names stand left of the first column and between the two.
        figure.subplots_adjust(
            left=0.19,
            right=0.98,
            top=1 - 0.4 / height,
            bottom=0.6 / height,
            wspace=0.72,
        )

        for part, axes in enumerate(panels):
            start = part * length
            end = start + length
            rows = range(start, min(end, len(names)))
            _plot_rows(axes, rows, series)
            _name_rows(axes, rows, names)

            # The first row is at the top.
            axes.set_ylim(end - 0.5, start - 0.5)
            axes.set_xlabel(xlabel)
            # A logarithmic axis is linear below 1, so that 0 has a place on it.
            if logarithmic:
                axes.set_xscale("symlog", linthresh=1, linscale=0.4)
                axes.set_xlim(-0.3, largest * 1.3)
                axes.xaxis.set_major_formatter("{x:.0f}")
            else:
                axes.set_xlim(-2, 102)

        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="upper right",
            ncols=len(series),
            bbox_to_anchor=(0.98, 1.0),
        )


def _plot_rows(axes: "Axes", rows: range, series: dict[str, Values]) -> None:
    for marking, (label, values) in zip(MARKINGS, series.items(), strict=False):
        axes.plot(
            [values[row] for row in rows],
            rows,
            marking.marker,
            color=marking.colour,
            markerfacecolor=marking.filling,
            clip_on=False,
            label=label,
        )


def _name_rows(axes: "Axes", rows: range, names: list[str]) -> None:
    """Names and lines of rows, by hand: a tick is five artists, made and placed one by one."""
    axes.set_yticks([])

    # x in widths of the axes, y in rows.
    transform = axes.get_yaxis_transform()
    axes.hlines(rows, 0, 1, STYLE["grid.color"], linewidth=0.8, zorder=0.5, transform=transform)

    seven_points_left = -7 / (POINTS * WIDTH * axes.get_position().width)
    for row in rows:
        axes.text(
            seven_points_left,
            row,
            shorten(names[row], NAME_LENGTH),
            ha="right",
            va="center_baseline",
            fontsize=9,
            transform=transform,
        )
