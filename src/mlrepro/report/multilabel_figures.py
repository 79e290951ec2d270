"""The figures of the course studies for any run: metrics by epoch (003), balancing and errors by label (001). No torch."""

import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlrepro.records import ClassResult, Record
from mlrepro.report.figures import COLOURS, LINES, _dots, blank_figure
from mlrepro.report.tables import Runs, code

PANELS = {
    "loss": ["loss"],
    "IoU (%)": ["sample_IoU"],
    "precision (%)": ["sample_precision", "OP", "CP"],
    "recall (%)": ["sample_recall", "OR", "CR"],
    "F1 (%)": ["sample_F1", "micro_F1", "macro_F1"],
}


def label_sections(runs: Runs, link: Callable[..., str]) -> list[str]:
    """Markdown for ranked runs; nothing for records of older versions. link: figure_link of the page."""
    curves = [
        link(f"epochs-{run}", f"Metrics of {run} by epoch", epoch_curves, records)
        for run, records in runs.items()
        if records[0].history[-1].metrics
    ]
    parts = [
        "## Metrics by epoch",
        "At threshold 0.5; train: the answers given while it learnt.",
        *curves,
    ] * bool(curves)
    for run, (record, *_) in list(runs.items())[:1]:
        if (classes := record.selected.per_class)[0].confusion:
            parts += [
                "## Balancing and errors by label",
                "Positives of train, and those of as many class-uniform draws.",
                link("balance", "Positives before and after balancing", balance, classes),
                f"Decisions of {code(run)} on test at threshold 0.5, the labels with most errors first.",
                link("confusion", "A 2 x 2 confusion matrix a label", confusion_matrices, classes),
                f"`python stages/gallery.py <params.yaml> {run} {record.seed} <class>` draws the pictures of its errors.",
            ]
    return parts


def epoch_curves(records: list[Record], stem: Path) -> None:
    """Loss, IoU, precision, recall and F1 an epoch on train and validation, mean over seeds: 003's figures (slides 13 to 15)."""
    with blank_figure(stem, 5.2) as figure:
        for place, (panel, names) in enumerate(PANELS.items(), 1):
            axes = figure.add_subplot(2, 3, place)
            for name, kind, line in zip(
                names, ("mean over pictures", "micro", "macro"), LINES, strict=False
            ):
                for split, colour in zip(("train", "val"), COLOURS, strict=False):
                    seeds = [
                        [
                            {"train_loss": e.train_loss, **e.metrics}[f"{split}_{name}"]
                            for e in r.history
                        ]
                        for r in records
                    ]
                    axes.plot(
                        [statistics.fmean(values) for values in zip(*seeds, strict=False)],
                        f"o{line}",
                        color=colour,
                        markersize=3,
                        label=f"{split}, {kind}",
                    )
            axes.set_title(panel, fontsize=10)
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="center",
            bbox_to_anchor=(0.84, 0.27),
            handlelength=3.5,
        )
        figure.suptitle(records[0].run.run_id, fontsize=10)
        figure.subplots_adjust(
            left=0.06, right=0.98, top=0.88, bottom=0.06, hspace=0.3, wspace=0.22
        )


def balance(classes: list[ClassResult], stem: Path) -> None:
    """Positives of train by class before and after balancing, and `bce_weighted`'s weights: 001's Figures 1 to 3 in one."""
    ordered = sorted(classes, key=lambda c: -c.train)
    series = {
        "as they are": [c.train for c in ordered],
        "class-uniform draws": [c.balanced for c in ordered],
        "weight of a positive": [c.weight for c in ordered],
    }
    _dots(
        stem,
        [c.name for c in ordered],
        "positives of train; negatives / positives",
        series,
        logarithmic=True,
    )


def confusion_matrices(classes: list[ClassResult], stem: Path) -> None:
    """Counts by label, shaded by their share of the row, in sklearn's order: 001's Figure 7."""
    worst = sorted(classes, key=lambda c: -sum(c.confusion[1:3]))[:42]  # a figure's worth
    rows = -(-len(worst) // 6)
    shares = np.full(
        (3 * rows, 18), np.nan
    )  # a 2 x 2 block a label, with room to its left and below
    with blank_figure(stem, 0.3 + 1.5 * rows) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.5, 17.7), ylim=(3 * rows - 0.9, -1.1))
        for place, c in enumerate(worst):
            (y, x), counts = (
                (3 * (place // 6), 3 * (place % 6) + 1),
                np.reshape(c.confusion, (2, 2)),
            )
            shares[y : y + 2, x : x + 2] = counts / np.maximum(1, counts.sum(1, keepdims=True))
            for (row, column), n in np.ndenumerate(counts):
                axes.text(x + column, y + row, n, ha="center", va="center")
            axes.text(x + 0.5, y - 0.58, c.name[:20], ha="center", va="bottom")
            for i, (actual, said) in enumerate((("is not", "said no"), ("is", "said yes"))):
                if place % 6 == 0:  # its row of blocks shares them
                    axes.text(x - 0.58, y + i, actual, ha="right", va="center", fontsize=8)
                if place + 6 >= len(worst):
                    axes.text(x + i, y + 1.58, said, ha="center", va="top", fontsize=8)
        edges = np.arange(-0.5, 18), np.arange(-0.5, 3 * rows)
        axes.pcolormesh(*edges, shares, cmap="Blues", vmin=0, vmax=1.6, edgecolors="white")
        axes.set_axis_off()
