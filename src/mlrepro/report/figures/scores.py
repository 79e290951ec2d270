"""What a run's scores are worth: precision against recall, and how sure they may be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlrepro.metrics.calibration import BINS
from mlrepro.report.figures.drawing import COLOURS, blank_figure

# More points of a curve cannot be told apart.
MOST_POINTS = 20_000


def scores_on_test(
    scores: np.ndarray, labels: np.ndarray, stem: Path, places: Sequence[int] | None = None
) -> None:
    """Precision-recall curves of every label and of all decisions, and their reliability diagram.

    scores, labels (N, C): probabilities, and 1, 0 or -1, which leaves a decision out. places: of
    the labels that have a curve; none: all.
    """
    # Every report stage would wait for scikit-learn.
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import precision_recall_curve

    with blank_figure(stem, 4.2) as figure:
        curves, reliability = figure.subplots(1, 2)

        # A thin line a label that has positives.
        for label in range(labels.shape[1]) if places is None else places:
            known = labels[:, label] != -1
            positive = labels[known, label] == 1
            if positive.any():
                precision, recall, _ = precision_recall_curve(positive, scores[known, label])
                curves.plot(recall, precision, color="0.7", linewidth=0.6)

        # A thick one for all decisions together.
        known = labels != -1
        positive = labels[known] == 1
        precision, recall, _ = precision_recall_curve(positive, scores[known])
        drawn = _drawn_points(len(recall))
        curves.plot(recall[drawn], precision[drawn], color=COLOURS[0], linewidth=2)
        curves.set(xlabel="recall", ylabel="precision")

        # A run whose scores are probabilities lies on the diagonal.
        share, score = calibration_curve(positive, scores[known], n_bins=BINS)
        reliability.plot([0, 1], [0, 1], color="0.7")
        reliability.plot(score, share, "o-", color=COLOURS[1])
        reliability.set(xlabel="mean score", ylabel="share of positives")

        figure.subplots_adjust(left=0.08, right=0.98, top=0.96, bottom=0.13, wspace=0.22)


def _drawn_points(points: int) -> np.ndarray | slice:
    """All of them, or as many evenly spaced ones as can be told apart."""
    if points <= MOST_POINTS:
        return slice(None)
    return np.linspace(0, points - 1, MOST_POINTS).astype(int)
