"""Draws where a network looked for its likeliest labels. No torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mlrepro.data.manifest import Manifest
from mlrepro.report.figures import WIDTH
from mlrepro.terminal import one_line

PICTURES = 4  # of the test split, for a page
LABELS = 3  # the likeliest of each picture
TITLE_HEIGHT = 0.3  # inches


@dataclasses.dataclass(frozen=True)
class AttendedLabel:
    """A label, its probability, and where the network looked for it: a map (h, w)."""

    name: str
    probability: float
    weights: np.ndarray


def first_test_pictures(manifest: Manifest, count: int = PICTURES) -> Manifest:
    """The first pictures of the test split."""
    rows = manifest.rows("test")[:count]
    return dataclasses.replace(manifest, table=manifest.table.take(rows))


def given_pictures(manifest: Manifest, paths: Sequence[str]) -> Manifest:
    """A person's own pictures, which have no labels, with the classes of a data set."""
    frame = manifest.frame.iloc[:0].reindex(range(len(paths))).assign(image=paths)
    return manifest.with_frame(frame, root=Path())


def likeliest_labels(
    classes: list[str], logits: np.ndarray, maps: np.ndarray
) -> list[AttendedLabel]:
    """The labels of one picture with the highest of its logits (K,), with their maps (K, h, w)."""
    probabilities = 1 / (1 + np.exp(-logits))
    best = np.argsort(-logits)[:LABELS]
    return [AttendedLabel(classes[k], probabilities[k], maps[k]) for k in best]


def draw_attention(picture: Image.Image, labels: list[AttendedLabel], path: Path) -> None:
    """A picture under the map of each label, which is scaled to its maximum; PNG alone."""
    pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    # Panels side by side fill the page's width, each in the picture's proportions.
    panel_height = WIDTH / len(labels) * height / width
    figure = Figure((WIDTH, panel_height + TITLE_HEIGHT), dpi=150, layout="tight")

    panels = figure.subplots(1, len(labels), squeeze=False)[0]
    for axes, label in zip(panels, labels, strict=True):
        axes.imshow(pixels)
        # The map has a few cells only: it is stretched over the whole picture.
        axes.imshow(
            label.weights,
            cmap="inferno",
            vmin=0,
            alpha=0.6,
            interpolation="bilinear",
            extent=(0, width, height, 0),
        )
        title = f"{one_line(label.name)} {label.probability:.2f}"
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.set_axis_off()

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
