"""Figures of result records, as PNG and SVG. Drawing the same records again gives the same bytes.

Each figure is a function of its data and of the path without its suffix; runs come in rank order.
Lines and points differ in style and marker as well as in colour, and runs are labelled beside the
axes. matplotlib is imported where a figure is drawn, because most of them are up to date.
"""

from mlrepro.report.figures.classes import balance, class_average_precision, label_distribution
from mlrepro.report.figures.confusion import confusion_matrices
from mlrepro.report.figures.cost import Point, map_against_cost
from mlrepro.report.figures.curves import epoch_curves, training_curves, validation_curve
from mlrepro.report.figures.drawing import COLOURS, LINES, MARKERS, WIDTH, blank_figure, draw
from mlrepro.report.figures.names import short_names
from mlrepro.report.figures.protocols import Spread, protocol_spread
from mlrepro.report.figures.scores import scores_on_test
from mlrepro.report.figures.sweep import map_against_setting

__all__ = [
    "COLOURS",
    "LINES",
    "MARKERS",
    "WIDTH",
    "Point",
    "Spread",
    "balance",
    "blank_figure",
    "class_average_precision",
    "confusion_matrices",
    "draw",
    "epoch_curves",
    "label_distribution",
    "map_against_cost",
    "map_against_setting",
    "protocol_spread",
    "scores_on_test",
    "short_names",
    "training_curves",
    "validation_curve",
]
