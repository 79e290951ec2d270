"""A gallery of a run's surest errors on one class, as in Figures 8 to 11 of the MIRFLICKR study."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mlrepro.data.appearance import whole_picture
from mlrepro.terminal import one_line

ROWS = 2  # of pictures in the figure
COLUMNS = 4


@dataclass(frozen=True)
class Predictions:
    """What a run says of N pictures, and what is true.

    appearance: how the pictures are read (data/appearance.py)
    logits: (N, K), positive where a class is predicted; logit_scale: what makes probabilities of
        them, other than 1 for cosines
    truth: (N, K) of 1, 0 and -1 for entries that are ignored
    """

    pictures: list[Path]
    appearance: str
    classes: list[str]
    logits: np.ndarray
    truth: np.ndarray
    logit_scale: float

    @property
    def predicted(self) -> np.ndarray:
        return self.logits >= 0

    def surest_errors(self, k: int) -> np.ndarray:
        """Rows of the pictures that are wrong on class k, the surest first."""
        # Entries that are ignored are neither.
        predicted = self.predicted[:, k]
        false_positives = predicted & (self.truth[:, k] == 0)
        false_negatives = ~predicted & (self.truth[:, k] == 1)
        wrong = np.flatnonzero(false_positives | false_negatives)
        # Stable: errors that are equally sure stay in the order of the manifest.
        surest_first = np.argsort(-abs(self.logits[wrong, k]), kind="stable")
        return wrong[surest_first]

    def describe(self, row: int, k: int) -> list[str]:
        """Probabilities of class k and of what is true or predicted, the likeliest first."""
        lines = []
        for c in np.argsort(-self.logits[row]):
            is_true = self.truth[row, c] == 1
            if c == k or is_true or self.predicted[row, c]:
                probability = 1 / (1 + np.exp(-self.logit_scale * self.logits[row, c]))
                mark = " (is)" if is_true else ""
                lines.append(f"{one_line(self.classes[c])}: {probability:.2f}{mark}")
        return lines


def draw_errors(figure: Figure, predictions: Predictions, rows: np.ndarray, k: int) -> None:
    """The pictures of the first `rows`, each over what is predicted of it."""
    shown = rows[: ROWS * COLUMNS]
    for place, row in enumerate(shown, 1):
        axes = figure.add_subplot(ROWS, COLUMNS, place)
        picture = whole_picture(predictions.pictures[row], predictions.appearance)
        lines = predictions.describe(row, k)
        _draw_picture(axes, picture, lines)

    # With room below each row for the lines of its pictures.
    figure.subplots_adjust(left=0.02, right=0.98, top=0.99, bottom=0.12, wspace=0.08, hspace=0.35)


def _draw_picture(axes: Axes, picture: Image.Image, lines: list[str]) -> None:
    axes.imshow(picture)
    axes.text(0, -0.03, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)
    axes.set_axis_off()
