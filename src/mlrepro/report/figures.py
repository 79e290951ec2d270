"""Figures of result records, as PNG and SVG. Drawing the same records again gives the same bytes.

Each function takes runs in rank order and the path without its suffix. Lines and points differ in style and marker as
well as in colour, and runs are labelled beside the axes. matplotlib is imported where a figure is drawn: most are up to date.
"""

import hashlib
import itertools
import statistics
import struct
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic_core import to_json

from mlrepro.records import Record
from mlrepro.report.tables import REGIMES, Runs, class_ap, mean

WIDTH = 9.0  # inches; at 100 dots an inch the width that GitHub gives a page
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
    "axes.titley": 1.0,  # without it, each draw looks whether ticks are in a title's way
    "text.parse_math": False,  # a label may hold dollar signs
    "text.hinting": "none",  # not to be seen at this resolution, and a tenth of a drawing
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
}  # the latter where an SVG finds no DejaVu; by default a list of ten
COLOURS = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
]  # Okabe & Ito
LINES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">"]
SERIES = [
    ("o", "#0072B2", "#0072B2"),
    ("s", "#D55E00", "none"),
    ("^", "#009E73", "#009E73"),
]  # marker, colour, filling
LABEL_LENGTH = 38  # characters that the right margin holds
LIBRARIES = (
    "matplotlib",
    "numpy",
    "scikit-learn",
)  # with the modules of CODE they decide how data are drawn
version = cache(metadata.version)  # it parses a file each time
CODE = [
    path
    for part in ("", "report", "metrics")
    for path in sorted((Path(__file__).parents[1] / part).glob("*.py"))
]


def short_names(runs: Runs) -> dict[str, str]:
    """Rank, and those parts of the run id in which the runs differ; cut in the middle where still too long."""
    parts = [
        [r.head, r.loss.name, r.labels, r.backbone, str(r.resolution or ""), r.variant or ""]
        for r in (records[0].run for records in runs.values())
    ]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    names = [" ".join(filter(None, itertools.compress(values, differ))) for values in parts]
    return {
        run: f"{rank} {_shorten(name or run, LABEL_LENGTH - 3)}"
        for rank, (run, name) in enumerate(zip(runs, names, strict=True), 1)
    }


def training_curves(
    runs: Runs, stem: Path, column: str = "val_mAP", label: str = "validation mAP (%)"
) -> None:
    """A column of the histories by epoch, mean over seeds: a panel a labels regime, a line a run, as far as every seed got."""
    names = short_names(runs)
    lines = {
        regime: group
        for regime in REGIMES
        if (group := [run for run in runs if runs[run][0].run.labels == regime])
    }
    columns = 3 - len(lines)  # of each legend
    legend = 0.2 * max(-(-len(group) // columns) for group in lines.values()) + 0.7  # inches
    height = 3.4 + legend
    with blank_figure(stem, height) as figure:
        figure.subplots_adjust(
            left=0.08, right=0.98, top=1 - 0.35 / height, bottom=legend / height, wspace=0.06
        )
        panels, inches = (
            figure.subplots(1, len(lines), sharey=True, squeeze=False)[0],
            figure.dpi_scale_trans,
        )
        for axes, (regime, group) in zip(panels, lines.items(), strict=True):
            (left, _, width, _), rows = (
                WIDTH * np.array(axes.get_position().bounds),
                -(-len(group) // columns),
            )
            for i, run in enumerate(group):
                curve = validation_curve(runs[run], column)
                style = {
                    "color": COLOURS[i % len(COLOURS)],
                    "linestyle": LINES[i % len(LINES)],
                    "linewidth": 1.3,
                    "marker": MARKERS[i % len(MARKERS)],
                }
                axes.plot(*np.transpose(curve), markevery=max(1, len(curve) // 12), **style)
                x, y = (
                    left + 0.5 + i // rows * width / columns,
                    legend - 0.7 - 0.2 * (i % rows),
                )  # Axes.legend measures long
                axes.plot(
                    [x, x + 0.22, x + 0.44],
                    [y, y, y],
                    markevery=[1],
                    clip_on=False,
                    transform=inches,
                    **style,
                )
                figure.text(
                    x + 0.54, y, names[run], va="center_baseline", fontsize=9, transform=inches
                )
            axes.set(xlabel="epoch", title=REGIMES[regime])
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel(label)


def validation_curve(records: list[Record], column: str = "val_mAP") -> list[tuple[int, float]]:
    """(epoch, a column of the history, by default validation mAP in percent) for the epochs that every seed has of it."""
    seeds = [
        {e.epoch: value for e in record.history if (value := getattr(e, column)) is not None}
        for record in records
    ]
    shared = sorted(set.intersection(*map(set, seeds)))
    return [(epoch, statistics.fmean(seed[epoch] for seed in seeds)) for epoch in shared]


class Point(NamedTuple):
    """One model: GMACs a picture, printed and reproduced mAP (percent; SE of the latter); `series` gives marker and colour."""

    name: str
    series: str
    gmacs: float
    reported: float | None
    reproduced: float | None
    error: float


def map_against_cost(panels: dict[str, list[Point]], stem: Path) -> None:
    """A panel a title: mAP against GMACs, printed hollow and reproduced filled (bar: +- 2 SE), joined by a line."""
    from matplotlib.lines import Line2D

    every = [point for points in panels.values() for point in points]
    series = dict.fromkeys(point.series for point in every)
    styles = {
        name: (MARKERS[i % len(MARKERS)], COLOURS[i % len(COLOURS)])
        for i, name in enumerate(series)
    }
    heights = [0.6 + max(1.8, 0.2 * len(points)) for points in panels.values()]
    total = sum(heights) + 0.6
    with blank_figure(stem, total) as figure:
        figure.subplots_adjust(
            left=0.09, right=0.57, top=1 - 0.7 / total, bottom=0.55 / total, hspace=0.3
        )
        rows = figure.subplots(
            len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        for axes, (title, points) in zip(rows, panels.items(), strict=True):
            for name, (marker, colour) in styles.items():
                own = [point for point in points if point.series == name]
                axes.plot(
                    [p.gmacs for p in own],
                    [p.reported for p in own],
                    marker,
                    color=colour,
                    markerfacecolor="white",
                )
                own = [point for point in own if point.reproduced is not None]
                gmacs, reproduced = [p.gmacs for p in own], [p.reproduced for p in own]
                axes.errorbar(
                    gmacs,
                    reproduced,
                    [2 * p.error for p in own],
                    fmt=marker,
                    color=colour,
                    elinewidth=0.8,
                )
                axes.vlines(
                    gmacs,
                    reproduced,
                    [p.reproduced if p.reported is None else p.reported for p in own],
                    colour,
                    linewidth=0.8,
                )
            axes.margins(x=0.08, y=0.12)
            axes.set_title(title, loc="left", fontsize=10)
            axes.set_ylabel("mAP (%)")
            _label_in_margin(
                axes,
                [
                    (
                        point.gmacs,
                        point.reproduced if point.reported is None else point.reported,
                        _shorten(point.name, LABEL_LENGTH + 8),
                        styles[point.series][1],
                    )
                    for point in points
                ],
            )
        rows[-1].set_xlabel("GMACs a picture, measured")
        printed = {point.series for point in every if point.reported is not None}
        handles = [
            Line2D(
                [],
                [],
                linestyle="",
                marker=marker,
                color=colour,
                label=name,
                markerfacecolor="white" if name in printed else colour,
            )
            for name, (marker, colour) in styles.items()
        ]
        if printed and any(point.reproduced is not None for point in every):
            handles += [
                Line2D([], [], linestyle="", marker="o", color="black", label="filled: reproduced")
            ]
        figure.legend(
            handles=handles,
            loc="upper left",
            ncols=len(handles),
            bbox_to_anchor=(0.06, 1.0),
            columnspacing=1.2,
        )


def map_against_setting(
    curves: dict[str, list[tuple[float, float, float]]], setting: str, stem: Path
) -> None:
    """A panel a series of (value of the setting, test mAP, SE), each with an axis of its own; bar: +- 2 SE."""
    with blank_figure(stem, 3.0) as figure:
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (name, points) in zip(panels, curves.items(), strict=True):
            values, means, errors = zip(*points, strict=True)
            axes.errorbar(
                values,
                means,
                yerr=[2 * error for error in errors],
                fmt="o-",
                color=COLOURS[0],
                elinewidth=0.8,
            )
            axes.set(xlabel=setting, title=name)
        panels[0].set_ylabel("test mAP (%)")
        figure.subplots_adjust(left=0.08, right=0.98, top=0.88, bottom=0.17, wspace=0.3)


def class_average_precision(best: Runs, stem: Path) -> None:
    """AP by class of one run a regime, sorted by the first one's; classes without an AP come last, without a marker."""
    classes = next(iter(best.values()))[0].selected.per_class
    columns = {
        REGIMES[records[0].run.labels]: [mean(values) for values in class_ap(records)]
        for records in best.values()
    }
    first = next(iter(columns.values()))
    order = sorted(
        range(len(classes)), key=lambda i: -1 if first[i] is None else first[i], reverse=True
    )
    _dots(
        stem,
        [classes[i].name for i in order],
        "AP (%)",
        {name: [column[i] for i in order] for name, column in columns.items()},
    )


def label_distribution(record: Record, stem: Path) -> None:
    """Positives by class on a logarithmic axis (0 at its left end), most frequent in train first."""
    classes = sorted(record.selected.per_class, key=lambda c: -c.train)
    observed = (
        {"observed in train": [c.observed for c in classes]}
        if record.run.labels == "single"
        else {}
    )
    series = {"train": [c.train for c in classes], **observed, "test": [c.test for c in classes]}
    _dots(stem, [c.name for c in classes], "positives", series, logarithmic=True)


def draw(figure: Callable[..., None], data: tuple, stem: Path, options: dict) -> None:
    """figure(*data, stem, **options), unless the PNG and SVG that it writes are there, byte for byte as the same function, code
    and data last gave them: `drawn/` beside them (not kept in git) remembers that."""
    read, memory = (
        [*CODE, stem.with_suffix(".png"), stem.with_suffix(".svg")],
        stem.parent / "drawn" / stem.name,
    )
    known = to_json(
        [figure.__name__, data, options, *map(version, LIBRARIES)], fallback=np.ndarray.tolist
    )

    def digest() -> str:
        return hashlib.sha256(
            b"".join([known, *(path.read_bytes() for path in read if path.exists())])
        ).hexdigest()

    if not memory.exists() or memory.read_text() != digest():
        figure(*data, stem, **options)
        memory.parent.mkdir(exist_ok=True)
        memory.write_text(digest())


@contextmanager
def blank_figure(stem: Path, height: float):
    """A blank figure, written as PNG and SVG at the end: without dates, versions or random ids."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        yield figure
        for axes in figure.axes:
            _place_labels(axes)
        stem.parent.mkdir(parents=True, exist_ok=True)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        stem.with_suffix(".png").write_bytes(_png(np.asarray(canvas.buffer_rgba())))
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _place_labels(axes) -> None:
    """Labels beside one line or the longest of the ticks (in points): matplotlib would measure every tick several times."""
    width, height = 72 * axes.figure.get_size_inches() * axes.get_position().size
    for axis in (axes.xaxis, axes.yaxis):
        for tick in (ticks := axis.get_majorticklabels()):
            tick.set_in_layout(
                axis.get_major_formatter().get_offset() != ""
            )  # a factor, such as 1e-5, has its place beyond them
    axes.xaxis.set_label_coords(0.5, -22 / height)
    axes.yaxis.set_label_coords(
        -(11 + 6.4 * max((len(tick.get_text()) for tick in ticks), default=0)) / width, 0.5
    )


def _png(pixels: np.ndarray) -> bytes:
    """RGBA with rows as they are: Pillow tries filters on each, which takes three times as long and saves 4% of the file."""
    (height, width, _), rows = (
        pixels.shape,
        np.pad(pixels.reshape(len(pixels), -1), ((0, 0), (1, 0))),
    )
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0),
        b"IDAT": zlib.compress(rows, 3),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


def _shorten(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[head + 1 - length :]}"


def _label_in_margin(axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Writes each (x, y, text, colour) right of the axes at the height of its point, spread so that no two overlap."""
    from matplotlib.collections import LineCollection

    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    gap = 0.2 / (axes.figure.get_figheight() * axes.get_position().height) * (high - low)
    ends = sorted(ends, key=lambda end: end[1])
    steps = gap * np.arange(len(ends))
    lowest = np.maximum.accumulate(np.maximum([end[1] for end in ends], low) - steps)
    heights = np.minimum(lowest, high - steps[-1]) + steps
    margin, lines = right + 0.06 * (right - left), []
    for (x, y, text, colour), height in zip(ends, heights, strict=True):
        axes.text(margin, height, text, va="center", fontsize=9, color=colour)
        lines.append([(x, y), (margin - 0.005 * (right - left), height)])
    axes.add_artist(
        LineCollection(lines, colors="0.65", linewidths=0.7, zorder=1, clip_on=False)
    )  # below the points
    axes.set(xlim=(left, right), ylim=(low, high))


def _dots(
    stem: Path,
    names: list[str],
    xlabel: str,
    series: dict[str, list[float | None]],
    logarithmic: bool = False,
) -> None:
    """A row a name, a marker a series; beyond 40 names in two columns. Values: percent, or counts on a log axis."""
    parts = 1 if len(names) <= 40 else 2
    length = -(-len(names) // parts)
    largest = max((value for values in series.values() for value in values if value), default=1)
    with blank_figure(stem, 1.1 + 0.21 * length) as figure:
        panels = figure.subplots(1, parts, sharex=True, squeeze=False)[0]
        top = 1 - 0.4 / figure.get_figheight()
        figure.subplots_adjust(
            left=0.19, right=0.98, top=top, bottom=0.6 / figure.get_figheight(), wspace=0.72
        )
        for part, axes in enumerate(panels):
            beside, transform = (
                -7 / (72 * WIDTH * axes.get_position().width),
                axes.get_yaxis_transform(),
            )
            rows = range(part * length, min((part + 1) * length, len(names)))
            for (marker, colour, filling), (label, values) in zip(
                SERIES, series.items(), strict=False
            ):
                axes.plot(
                    [values[i] for i in rows],
                    rows,
                    marker,
                    color=colour,
                    markerfacecolor=filling,
                    clip_on=False,
                    label=label,
                )
            axes.set_yticks([])  # a tick is five artists, made and placed one by one
            axes.hlines(
                rows, 0, 1, STYLE["grid.color"], linewidth=0.8, zorder=0.5, transform=transform
            )
            for i in rows:
                axes.text(
                    beside,
                    i,
                    _shorten(names[i], 22),
                    ha="right",
                    va="center_baseline",
                    fontsize=9,
                    transform=transform,
                )
            axes.set_ylim((part + 1) * length - 0.5, part * length - 0.5)
            axes.set_xlabel(xlabel)
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
