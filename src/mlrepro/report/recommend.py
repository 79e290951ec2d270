"""Which of the compared runs to use and why, and what its scores are worth: precision, calibration, mistakes. No torch."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mlrepro.layout import Layout
from mlrepro.metrics.average_precision import per_class
from mlrepro.records import Record
from mlrepro.report.figures import COLOURS, blank_figure
from mlrepro.report.pages import figure_link
from mlrepro.report.tables import (
    FEW_POSITIVES,
    Runs,
    code,
    escape,
    mean_map,
    metric_values,
    number,
    spread,
    table,
)

LISTED, BINS = 20, 15  # that are listed; of the calibration
METRICS = {"mAP": "mAP", "CF1": "tuned_CF1", "OF1": "tuned_OF1"}


def choose(runs: Runs, ties: set[str]) -> Record | None:
    """Of the first of ranked runs and those that noise hides from it (`ties`), the one of fewest GMACs to two decimals, of equal
    ones the first; its seed with the best validation mAP. None where no run has an mAP."""
    able = [
        run
        for i, run in enumerate(runs)
        if mean_map(runs[run]) is not None and (i == 0 or run in ties)
    ]
    run = min(able, key=lambda run: round(runs[run][0].cost.gmacs, 2), default=None)
    return run and max(runs[run], key=lambda record: max(epoch.val_mAP for epoch in record.history))


def advice(runs: Runs, ties: set[str], path: Path, layout: Layout) -> list[str]:
    """Markdown sections. Those on scores need the manifest, and the logits of the recommended training with which it was made."""
    if not (record := choose(runs, ties)):
        return []
    run, first, classes = record.run.run_id, [*runs][0], record.selected.per_class
    lost = mean_map(runs[first]) - mean_map(runs[run])
    why = "it ranks first" if run == first else f"noise hides the {lost:.2f} points to the first"
    few = sum(one.test < FEW_POSITIVES for one in classes)
    rows = [
        [
            code(one),
            *(spread(metric_values(group, metric)) for metric in METRICS.values()),
            number(group[0].cost.gmacs),
            spread([record.environment.forward_per_second for record in group], 0),
        ]
        for one, group in runs.items()
    ]
    parts = [
        "## Recommendation",
        f"Use {code(run)}, seed {record.seed} (the best of its seeds on validation): {why}, and of the "
        f"{len(ties) + 1} runs that cannot be told from the first none takes fewer GMACs ({number(record.cost.gmacs)}). "
        f"{few} of {len(classes)} labels have fewer than {FEW_POSITIVES} test pictures, too few to judge them by.",
        f"```sh\nmlrepro export {layout.settings} {run} --seed {record.seed} --to my-model\nmlrepro predict my-model PATHS\n```",
        table("lrrrrr", ["run", *METRICS, "GMACs", "pictures/s"], rows),
        "CF1 and OF1 are at the thresholds that are best on validation, by label. Pictures/s: of the whole network, measured "
        f"where the records were made ({record.environment.device}, {record.environment.threads} threads), decoding left out.",
    ]
    if not (found := read_scores(layout, record)):
        return parts
    manifest, scores = found
    p, y = scores["test"], manifest.label_matrix(manifest.rows("test"))
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    error = (
        100 * np.abs(np.bincount(bins.ravel(), ((p - y) * (y >= 0)).ravel())).sum() / (y >= 0).sum()
    )
    images, wrong = manifest.frame["image"].iloc[manifest.rows("test")].to_numpy(), mistakes(p, y)
    listed = [
        [
            code(images[i]),
            escape(manifest.classes[j]),
            "yes" if y[i, j] else "no",
            number(p[i, j], 3),
        ]
        for i, j in wrong
    ]
    return [
        *parts,
        "### Its scores on test",
        figure_link(path, "scores", "Precision against recall, and reliability", draw_scores, p, y),
        "Left: a thin line a label, a thick one for all decisions. Right: the share of positives at each score; the expected "
        f"calibration error is {error:.2f} points ({BINS} bins; Guo et al. 2017, eq. 3).",
        "### Its greatest mistakes on test",
        table("llrr", ["picture", "label", "given", "score"], listed[:LISTED]),
        f"`{layout.review}/mistakes.html` shows all {len(wrong)} as pictures, and `missing.html` beside it the training "
        "pictures to which the run would add a label: answer in `missing.csv`, above all where labels not given are unknown.",
    ]


def read_scores(layout: Layout, record: Record | None) -> tuple | None:
    """The manifest and, by split, a training's probabilities (rows, C); none where they are not those of now."""
    if (
        not record
        or not (
            file := layout.output(record.run.run_id, record.seed) / "logits.safetensors"
        ).exists()
    ):
        return None
    from scipy.special import (
        expit,
    )  # these here and not above: a page without scores would wait for SciPy and pandas

    from mlrepro.data.manifest import MANIFEST, read_manifest

    manifest = read_manifest(layout.data) if (layout.data / MANIFEST).exists() else None
    if manifest is None or manifest.digest != record.provenance.manifest_sha256:
        return None
    logits, scale = load_file(file), getattr(record.run.loss, "scale", 1.0)
    return manifest, {
        split: expit(scale * logits[f"{split}_{record.run.selection}"].astype(float))
        for split in ("train", "val", "test")
    }


def mistakes(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row and class (n, 2) of the decisions at 0.5 that are wrong, the surest first."""
    gaps = np.abs(p - y) * (y >= 0)
    wrong = np.argwhere(gaps > 0.5)
    return wrong[np.argsort(-gaps[tuple(wrong.T)], kind="stable")]


def draw_scores(p: np.ndarray, y: np.ndarray, stem: Path) -> None:
    """Precision-recall curves of every label and of all decisions, and their reliability diagram; p and y (N, C)."""
    from sklearn.calibration import (
        calibration_curve,
    )  # here and not above: every report stage would wait for scikit-learn
    from sklearn.metrics import precision_recall_curve

    with blank_figure(stem, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        lines = [
            (scores, positive, "0.7", 0.6)
            for scores, positive in per_class(lambda *one: one, p, y)
            if positive.any()
        ]
        for scores, positive, colour, width in [*lines, (p[y >= 0], y[y >= 0] == 1, COLOURS[0], 2)]:
            precision, recall, _ = precision_recall_curve(positive, scores)
            left.plot(recall, precision, color=colour, linewidth=width)
        share, score = calibration_curve(positive, scores, n_bins=BINS)
        right.plot([0, 1], [0, 1], color="0.7")
        right.plot(score, share, "o-", color=COLOURS[1])
        left.set(xlabel="recall", ylabel="precision")
        right.set(xlabel="mean score", ylabel="share of positives")
        figure.subplots_adjust(left=0.08, right=0.98, top=0.96, bottom=0.13, wspace=0.22)
