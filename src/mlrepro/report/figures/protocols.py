"""How many points the choice of a protocol is worth, on one set of scores."""

from dataclasses import dataclass
from pathlib import Path

from mlrepro.report.figures.drawing import COLOURS, blank_figure
from mlrepro.report.figures.names import shorten

LABEL_LENGTH = 48  # characters that the left margin holds

# Inches of a row, of the legend and of the axis.
ROW = 0.26
ABOVE = 0.4
BELOW = 0.6


@dataclass(frozen=True)
class Spread:
    """Values in percent.

    singles:  (description, value) of protocols that depart from the default in one choice.
    all:      of every protocol.
    interval: of the default, from resampled pictures; none where it was not resampled.
    printed:  the reported number, and half a unit of its last digit; none without one.
    """

    metric: str
    default: float
    singles: list[tuple[str, float]]
    all: list[float]
    interval: tuple[float, float] | None
    printed: tuple[float, float] | None


def protocol_spread(spread: Spread, stem: Path) -> None:
    """A line a choice from the default to what it gives; below them, every protocol."""
    rows = len(spread.singles) + 1
    height = ABOVE + BELOW + ROW * rows
    with blank_figure(stem, height) as figure:
        axes = figure.subplots()
        if spread.interval:
            axes.axvspan(*spread.interval, color="0.93", label="95 % of resampled pictures")
        axes.axvline(spread.default, color="0.5", linewidth=1, label="the default protocol")
        if spread.printed:
            number, rounding = spread.printed
            axes.axvspan(
                number - rounding,
                number + rounding,
                color=COLOURS[1],
                alpha=0.6,
                label=f"reported: {number:g}",
            )

        for row, (_, value) in enumerate(spread.singles):
            axes.plot([spread.default, value], [row, row], color=COLOURS[0], linewidth=1.3)
            axes.plot(value, row, "o", color=COLOURS[0])
        axes.plot(spread.all, [rows - 1] * len(spread.all), "|", color=COLOURS[2], markersize=9)

        names = [shorten(name, LABEL_LENGTH) for name, _ in spread.singles]
        axes.set_yticks(range(rows), [*names, f"all {len(spread.all)} protocols"])
        axes.set(xlabel=spread.metric, ylim=(rows - 0.4, -0.6))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8)
        figure.subplots_adjust(left=0.42, right=0.98, top=1 - ABOVE / height, bottom=BELOW / height)
