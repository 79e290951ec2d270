"""mAP against what a model costs."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlrepro.report.figures.drawing import COLOURS, MARKERS, blank_figure
from mlrepro.report.figures.names import LABEL_LENGTH, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME_HEIGHT = 0.2  # inches that a name takes in the right margin


class Point(NamedTuple):
    """One model.

    series:     gives marker and colour.
    gmacs:      of a picture.
    reported:   printed mAP in percent, or none.
    reproduced: mAP in percent, or none.
    error:      SE of the reproduced mAP, in points.
    """

    name: str
    series: str
    gmacs: float
    reported: float | None
    reproduced: float | None
    error: float

    @property
    def height(self) -> float | None:
        """Where its name points: to the printed mAP if there is one."""
        return self.reproduced if self.reported is None else self.reported


class Marking(NamedTuple):
    """How the points of a series look."""

    marker: str
    colour: str


def map_against_cost(panels: dict[str, list[Point]], stem: Path) -> None:
    """A panel a title: mAP against GMACs, printed hollow and reproduced filled, joined by a line.

    The bar of a reproduced mAP is +- 2 SE.
    """
    # A series looks the same in every panel.
    every = [point for points in panels.values() for point in points]
    markings = _markings(every)

    # Inches: a panel is as high as the names beside it need.
    heights = [0.6 + max(1.8, NAME_HEIGHT * len(points)) for points in panels.values()]
    height = sum(heights) + 0.6

    with blank_figure(stem, height) as figure:
        # The right part is for names.
        figure.subplots_adjust(
            left=0.09,
            right=0.57,
            top=1 - 0.7 / height,
            bottom=0.55 / height,
            hspace=0.3,
        )
        axes_of_panels = figure.subplots(
            len(panels),
            1,
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )[:, 0]

        for axes, (title, points) in zip(axes_of_panels, panels.items(), strict=True):
            for series, marking in markings.items():
                _plot_series(axes, [point for point in points if point.series == series], marking)
            axes.margins(x=0.08, y=0.12)
            axes.set_title(title, loc="left", fontsize=10)
            axes.set_ylabel("mAP (%)")
            _names_in_margin(axes, points, markings)

        axes_of_panels[-1].set_xlabel("GMACs a picture, measured")
        _legend(figure, every, markings)


def _markings(points: list[Point]) -> dict[str, Marking]:
    """By series, in the order in which they come."""
    series = dict.fromkeys(point.series for point in points)
    return {
        name: Marking(MARKERS[index % len(MARKERS)], COLOURS[index % len(COLOURS)])
        for index, name in enumerate(series)
    }


def _plot_series(axes: "Axes", points: list[Point], marking: Marking) -> None:
    # Where nothing is printed there is no point.
    axes.plot(
        [point.gmacs for point in points],
        [point.reported for point in points],
        marking.marker,
        color=marking.colour,
        markerfacecolor="white",
    )

    measured = [point for point in points if point.reproduced is not None]
    gmacs = [point.gmacs for point in measured]
    reproduced = [point.reproduced for point in measured]
    axes.errorbar(
        gmacs,
        reproduced,
        [2 * point.error for point in measured],
        fmt=marking.marker,
        color=marking.colour,
        elinewidth=0.8,
    )

    # From the reproduced to the printed mAP; of no length where nothing is printed.
    printed = [point.height for point in measured]
    axes.vlines(gmacs, reproduced, printed, marking.colour, linewidth=0.8)


def _names_in_margin(axes: "Axes", points: list[Point], markings: dict[str, Marking]) -> None:
    """Writes each name right of the axes at the height of its point, so that no two overlap."""
    from matplotlib.collections import LineCollection

    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    # A name's height in mAP points.
    inches = axes.figure.get_figheight() * axes.get_position().height
    gap = NAME_HEIGHT / inches * (high - low)

    points = sorted(points, key=lambda point: point.height)
    heights = _spread_out([point.height for point in points], gap, low, high)

    name_x = right + 0.06 * (right - left)
    line_end = name_x - 0.005 * (right - left)
    lines = []
    for point, height in zip(points, heights, strict=True):
        axes.text(
            name_x,
            height,
            shorten(point.name, LABEL_LENGTH + 8),
            va="center",
            fontsize=9,
            color=markings[point.series].colour,
        )
        lines.append([(point.gmacs, point.height), (line_end, height)])

    below_points = 1
    axes.add_artist(
        LineCollection(
            lines,
            colors="0.65",
            linewidths=0.7,
            zorder=below_points,
            clip_on=False,
        )
    )

    # What was added must not widen the axes.
    axes.set(xlim=(left, right), ylim=(low, high))


def _spread_out(values: list[float], gap: float, low: float, high: float) -> np.ndarray:
    """Ascending values, moved up until each is `gap` above the one before, and all below `high`."""
    steps = gap * np.arange(len(values))

    # Less its step, a value must only be no lower than the one before, and no higher than what
    # leaves room for the steps above it.
    lowest = np.maximum.accumulate(np.maximum(values, low) - steps)
    highest = high - steps[-1]
    return np.minimum(lowest, highest) + steps


def _legend(figure: "Figure", points: list[Point], markings: dict[str, Marking]) -> None:
    from matplotlib.lines import Line2D

    printed = {point.series for point in points if point.reported is not None}
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=marking.marker,
            color=marking.colour,
            label=series,
            markerfacecolor="white" if series in printed else marking.colour,
        )
        for series, marking in markings.items()
    ]

    # Where there are both kinds, what a filling means.
    if printed and any(point.reproduced is not None for point in points):
        handles.append(
            Line2D([], [], linestyle="", marker="o", color="black", label="filled: reproduced")
        )

    figure.legend(
        handles=handles,
        loc="upper left",
        ncols=len(handles),
        bbox_to_anchor=(0.06, 1.0),
        columnspacing=1.2,
    )
