"""Decisions on labels that few pictures have: four rules for their thresholds.

    python benchmarks/rare_labels.py studies/own-data/params.yaml

In the repository where `init-data` was given the pictures and the stages up to `extract` have run;
several params.yaml are measured after each other. Their features are split anew for each seed: 60 %
of the pictures to train a ridge regression on, 15 % to fit its penalty and the thresholds, 25 % to
measure. The rules: the score 0.5; each label's own best F1 (`tune_thresholds`); one threshold for
all, in standard deviations above the label's mean; and what models are exported with
(`tune_shrunk_thresholds`), each label's own drawn towards that one.

F1 in percent, the mean over seeds: macro over labels that have a positive among the measured
pictures, and overall (OF1). `ahead`: macro F1 of the exported rule minus that of each other, the
mean over seeds, and its lowest and highest.
"""

from collections.abc import Iterator

import numpy as np
from common import parser, write

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.thresholded import thresholded_metrics
from mlrepro.metrics.thresholds import (
    tune_global_threshold,
    tune_shrunk_thresholds,
    tune_thresholds,
)
from mlrepro.training.grid.closed_form import ridge_layers

PENALTIES = [0.1, 1.0, 10.0, 100.0]
EXPORTED = "drawn together"
SHARES = (0.6, 0.75)  # where the parts of a split end


def splits(features: np.ndarray, labels: np.ndarray, seeds: int) -> Iterator[tuple]:
    """Scores and labels of the fitted and of the measured pictures, for each seed."""
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(features))
        ends = [int(share * len(order)) for share in SHARES]
        train, val, test = np.split(order, ends)

        # A regression for each penalty, of which that is taken which ranks validation best.
        scores = []
        maps = []
        for weight, bias in ridge_layers(features[train], labels[train], PENALTIES):
            of_penalty = features @ weight.T + bias
            scores.append(of_penalty)
            aps = average_precision(of_penalty[val], labels[val])
            maps.append(mean_average_precision(aps))
        best = scores[int(np.argmax(maps))]
        yield best[val], labels[val], best[test], labels[test]


def rules(scores: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray | float]:
    """Thresholds (C,), or one for all, by rule, from the pictures that they are tuned on."""
    mean = scores.mean(0)
    deviation = scores.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    common = tune_global_threshold((scores - mean) / deviation, labels)
    return {
        "0.5": 0.0,
        "by label": tune_thresholds(scores, labels),
        "common": mean + deviation * common,
        EXPORTED: tune_shrunk_thresholds(scores, labels),
    }


def measure(features: np.ndarray, labels: np.ndarray, seeds: int) -> dict:
    """A row: each rule's F1 by seed, and how far the exported one is ahead."""
    macro: dict[str, list[float]] = {}
    overall: dict[str, list[float]] = {}
    for val, val_labels, test, test_labels in splits(features, labels, seeds):
        # A label without a positive has no recall.
        shown = (test_labels == 1).any(0)
        for name, thresholds in rules(val, val_labels).items():
            of_shown = np.broadcast_to(thresholds, shown.shape)[shown]
            metrics = thresholded_metrics(test[:, shown], test_labels[:, shown], of_shown)
            macro.setdefault(name, []).append(metrics["macro_F1"])
            overall.setdefault(name, []).append(metrics["OF1"])

    ahead = {}
    for name, of_rule in macro.items():
        if name != EXPORTED:
            points = np.subtract(macro[EXPORTED], of_rule)
            ahead[name] = [rounded(points.mean()), rounded(points.min()), rounded(points.max())]
    return {
        "macro_F1": {name: rounded(np.mean(values)) for name, values in macro.items()},
        "OF1": {name: rounded(np.mean(values)) for name, values in overall.items()},
        "ahead": ahead,
    }


def rounded(value: float) -> float:
    return round(float(value), 2)


def main() -> None:
    options = parser(__doc__, repeats=10)
    options.add_argument("settings", nargs="+", help="params.yaml of own data")
    given = options.parse_args()

    rows = []
    for settings in given.settings:
        layout = read_layout(settings)
        manifest = read_manifest(layout.data)
        named = layout.pipeline.features
        path = features_path(layout.data, named.backbone, named.resolution)
        features, _ = read_features(path, manifest, named.backbone, named.resolution)
        labels = manifest.label_matrix()
        row = {
            "data": f"{layout.name}: {len(labels)} pictures, {labels.shape[1]} labels",
            "features": f"{named.backbone} at {named.resolution} px",
            "seeds": given.repeats,
            **measure(features.double().numpy(), labels, given.repeats),
        }
        rows.append(row)
        print(row, flush=True)
    write("rare_labels", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
