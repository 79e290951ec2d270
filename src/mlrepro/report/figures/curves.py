"""Figures by epoch."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlrepro.judging import REGIMES
from mlrepro.records import Epoch, Record, Records
from mlrepro.report.figures.drawing import COLOURS, LINES, WIDTH, blank_figure, line_style
from mlrepro.report.figures.names import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# ---- Runs beside each other --------------------------------------------------------------------

# Inches of the legend below the curves: of a line, and of the axis labels and margins around it.
LEGEND_LINE = 0.2
LEGEND_MARGIN = 0.7

MARKED_EPOCHS = 12  # of a curve


def training_curves(
    runs: Records, stem: Path, column: str = "val_mAP", label: str = "validation mAP (%)"
) -> None:
    """A column of the histories by epoch: a panel a labels regime, a line a run.

    Values are means over seeds, as far as every seed got.
    """
    names = short_names(runs)
    panels = _by_regime(runs)

    # A panel alone is as wide as two, and has room for two columns of names.
    legend_columns = 3 - len(panels)
    legend_rows = {
        regime: math.ceil(len(group) / legend_columns) for regime, group in panels.items()
    }
    legend_height = LEGEND_LINE * max(legend_rows.values()) + LEGEND_MARGIN
    height = 3.4 + legend_height

    with blank_figure(stem, height) as figure:
        figure.subplots_adjust(
            left=0.08,
            right=0.98,
            top=1 - 0.35 / height,
            bottom=legend_height / height,
            wspace=0.06,
        )
        axes_of_panels = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]

        for axes, (regime, group) in zip(axes_of_panels, panels.items(), strict=True):
            # In inches, as the places of the legend's entries; bounds are shares of the figure.
            left, _, width, _ = WIDTH * np.array(axes.get_position().bounds)

            for index, run in enumerate(group):
                curve = validation_curve(runs[run], column)
                every = max(1, len(curve) // MARKED_EPOCHS)
                axes.plot(*np.transpose(curve), markevery=every, **line_style(index))

                legend_column, legend_row = divmod(index, legend_rows[regime])
                x = left + 0.5 + legend_column * width / legend_columns
                y = legend_height - LEGEND_MARGIN - LEGEND_LINE * legend_row
                _legend_entry(axes, x, y, names[run], line_style(index))

            axes.set(xlabel="epoch", title=REGIMES[regime])
            axes.xaxis.get_major_locator().set_params(integer=True)

        # The panels share their axis.
        axes_of_panels[0].set_ylabel(label)


def _by_regime(runs: Records) -> dict[str, list[str]]:
    """Run ids by labels regime, without those regimes that no run has."""
    by_regime = {
        regime: [run for run, records in runs.items() if records[0].run.labels == regime]
        for regime in REGIMES
    }
    return {regime: group for regime, group in by_regime.items() if group}


def _legend_entry(axes: "Axes", x: float, y: float, name: str, style: dict) -> None:
    """A run's line and name at (x, y) of the figure, in inches. `Axes.legend` measures long."""
    inches = axes.figure.dpi_scale_trans
    axes.plot(
        [x, x + 0.22, x + 0.44],
        [y, y, y],
        markevery=[1],
        clip_on=False,
        transform=inches,
        **style,
    )
    axes.figure.text(x + 0.54, y, name, va="center_baseline", fontsize=9, transform=inches)


def validation_curve(records: list[Record], column: str = "val_mAP") -> list[tuple[int, float]]:
    """(epoch, value) of a column of the history, for the epochs that every seed has of it.

    By default validation mAP in percent; mean over seeds.
    """
    seeds = [_column(record, column) for record in records]
    shared = sorted(set.intersection(*(set(values) for values in seeds)))
    return [(epoch, statistics.fmean(values[epoch] for values in seeds)) for epoch in shared]


def _column(record: Record, column: str) -> dict[int, float]:
    """Its values by epoch, without the epochs that have none."""
    values = {epoch.epoch: getattr(epoch, column) for epoch in record.history}
    return {epoch: value for epoch, value in values.items() if value is not None}


# ---- One run, in all metrics -------------------------------------------------------------------

# Title of a panel -> its metrics, over pictures, then micro, then macro.
PANELS = {
    "loss": ["loss"],
    "IoU (%)": ["sample_IoU"],
    "precision (%)": ["sample_precision", "OP", "CP"],
    "recall (%)": ["sample_recall", "OR", "CR"],
    "F1 (%)": ["sample_F1", "micro_F1", "macro_F1"],
}
AVERAGES = ("mean over pictures", "micro", "macro")


def epoch_curves(records: list[Record], stem: Path) -> None:
    """Loss, IoU, precision, recall and F1 an epoch on train and validation, mean over seeds.

    The figures of the VOC2007 transfer study (slides 13 to 15).
    """
    with blank_figure(stem, 5.2) as figure:
        for place, (panel, metrics) in enumerate(PANELS.items(), 1):
            axes = figure.add_subplot(2, 3, place)
            _plot_metrics(axes, records, metrics)
            axes.set_title(panel, fontsize=10)
            axes.xaxis.get_major_locator().set_params(integer=True)

        # In the sixth place; the last panel has all the lines that there are.
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="center",
            bbox_to_anchor=(0.84, 0.27),
            handlelength=3.5,
        )
        figure.suptitle(records[0].run.run_id, fontsize=10)
        figure.subplots_adjust(
            left=0.06,
            right=0.98,
            top=0.88,
            bottom=0.06,
            hspace=0.3,
            wspace=0.22,
        )


def _plot_metrics(axes: "Axes", records: list[Record], metrics: Sequence[str]) -> None:
    """A line style a metric, a colour a split."""
    for metric, average, line in zip(metrics, AVERAGES, LINES, strict=False):
        for split, colour in (("train", COLOURS[0]), ("val", COLOURS[1])):
            key = f"{split}_{metric}"
            by_seed = []
            for record in records:
                by_seed.append([_epoch_metric(epoch, key) for epoch in record.history])

            # Not strict: as far as every seed got.
            means = [statistics.fmean(values) for values in zip(*by_seed, strict=False)]
            axes.plot(
                means,
                f"o{line}",
                color=colour,
                markersize=3,
                label=f"{split}, {average}",
            )


def _epoch_metric(epoch: Epoch, key: str) -> float:
    """A metric of an epoch, or its training loss, which has a column of its own.

    NaN, a gap in the line, where it had none.
    """
    values = {"train_loss": epoch.train_loss} | epoch.metrics
    return values.get(key, math.nan)
