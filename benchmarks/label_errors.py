"""Errors that are put into labels, and how many of a ranking's first hundred are these.

    python benchmarks/label_errors.py --settings studies/own-data/params.yaml

In the repository where `init-data` was given the pictures and the stages up to `extract` have run.

So many labels as are 3 % of those given are taken away, and as many put on pictures that lack them:
on any picture and label alike, or on labels in proportion to their frequency; or every cell of the
label matrix is turned with a chance of 3 %. Ours ranks all labels by their adjusted self-confidence
out of fold (src/mlrepro/review). Beside it: self-confidence as it is, the frequency taken off
whole, and what the review's page did before: a linear layer (BCE, Adam, 25 epochs, the epoch that
is best on validation), which doubts training labels where its score passes the threshold of
validation, and test decisions that are wrong by more than 0.5. It is compared there alone.

Precision of the first hundred in percent, mean of the seeds (from the lowest to the highest).
Errors that the data had before count as false, so that the truth is above.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import parser, write
from torch.nn.functional import binary_cross_entropy_with_logits

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.layout import read_layout
from mlrepro.metrics.average_precision import average_precision
from mlrepro.metrics.thresholds import tune_thresholds
from mlrepro.review import label_quality
from mlrepro.review.folds import copies, stratified_folds
from mlrepro.review.out_of_fold import out_of_fold_probabilities
from mlrepro.review.suspects import LEAST_PICTURES

SHARE = 0.03  # of the labels, or of all cells, that are made wrong
FIRST = 100  # of a ranking, whose precision is compared
EPOCHS = 25
BATCH = 16
LEARNING_RATE = 1e-3

# How much of a label's log odds each ranking takes off.
TEMPERATURES = {"ours": 0.5, "self-confidence": 0.0, "frequency off": 1.0}


# ---- Errors ------------------------------------------------------------------------------------


def any_cell(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many added as removed, each cell alike."""
    return _removed_and_added(truth, random, np.ones(truth.shape))


def by_frequency(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many added as removed, in proportion to how many pictures have the label."""
    present = (truth == 1).sum(0)
    absent = np.maximum(1, (truth == 0).sum(0))
    return _removed_and_added(truth, random, np.broadcast_to(present / absent, truth.shape))


def every_cell(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each known cell with the same chance: many more are added than removed."""
    turned = (random.random(truth.shape) < SHARE) & (truth >= 0)
    return np.where(turned, 1 - truth, truth)


def _removed_and_added(
    truth: np.ndarray, random: np.random.Generator, weights: np.ndarray
) -> np.ndarray:
    """weights (n, C): how likely a cell is to get a label that it lacks."""
    present = np.argwhere(truth == 1)
    absent = np.argwhere(truth == 0)
    count = round(SHARE * len(present))
    removed = random.choice(len(present), count, replace=False)
    chance = weights[tuple(absent.T)]
    added = random.choice(len(absent), count, replace=False, p=chance / chance.sum())

    # argwhere gives a row a cell; an index wants rows and columns apart.
    labels = truth.copy()
    labels[tuple(present[removed].T)] = 0
    labels[tuple(absent[added].T)] = 1
    return labels


ERRORS = {
    "removed and added, any": any_cell,
    "removed and added, by frequency": by_frequency,
    "every cell": every_cell,
}


# ---- Rankings ----------------------------------------------------------------------------------


@dataclass
class Question:
    """Which cells are asked for, and how trusted each is: the lowest first."""

    cells: np.ndarray
    trust: np.ndarray

    def precision(self, wrong: np.ndarray) -> float:
        """Share of errors among the first hundred, or among all where these are fewer."""
        order = np.argsort(self.trust[self.cells], kind="stable")[:FIRST]
        return float(wrong[self.cells][order].mean()) if len(order) else float("nan")


def out_of_fold(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    folds = stratified_folds(labels, groups)
    return out_of_fold_probabilities(features, labels, folds)


def trust(probabilities: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """The review's quality of each label with another constant than its own."""
    before = label_quality.TEMPERATURE
    label_quality.TEMPERATURE = temperature
    try:
        return label_quality.adjusted_quality(probabilities, labels)
    finally:
        label_quality.TEMPERATURE = before


def in_sample(features: np.ndarray, labels: np.ndarray, rows: dict, seed: int) -> np.ndarray:
    """Probabilities (n, C) of a linear layer that is trained on train, best on validation."""
    torch.manual_seed(seed)
    inputs = torch.from_numpy(features)
    targets = torch.from_numpy(np.maximum(labels, 0)).float()
    layer = torch.nn.Linear(inputs.shape[1], targets.shape[1])
    optimizer = torch.optim.Adam(layer.parameters(), LEARNING_RATE)

    train = rows["train"]
    val = rows["val"]
    best_map = -1.0
    best = None
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(train)).split(BATCH):
            chosen = train[batch.numpy()]
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(layer(inputs[chosen]), targets[chosen])
            loss.backward()
            optimizer.step()

        with torch.no_grad():
            scores = layer(inputs[val]).numpy()
        val_map = float(np.nanmean(average_precision(scores, labels[val])))
        if val_map > best_map:
            best_map = val_map
            best = copy.deepcopy(layer.state_dict())

    layer.load_state_dict(best)
    with torch.no_grad():
        return torch.sigmoid(layer(inputs)).double().numpy()


def questions_before(
    probabilities: np.ndarray, labels: np.ndarray, rows: dict
) -> dict[str, Question]:
    """Of the page before: missing ones of train, and mistakes on test."""
    val = rows["val"]
    thresholds = tune_thresholds(probabilities[val], labels[val])
    missing = (labels == 0) & (probabilities >= thresholds) & in_split(labels, rows["train"])

    gap = np.abs(probabilities - labels)
    mistakes = (labels >= 0) & (gap > 0.5) & in_split(labels, rows["test"])
    return {
        "missing, of train": Question(missing, -probabilities),
        "both, of test": Question(mistakes, -gap),
    }


def asked_for(labels: np.ndarray, rows: dict) -> dict[str, np.ndarray]:
    """What a person may ask for: cells by name."""
    missing = labels == 0
    known = labels >= 0
    return {
        "missing": missing,
        "wrong": labels == 1,
        "both": known,
        "missing, of train": missing & in_split(labels, rows["train"]),
        "both, of test": known & in_split(labels, rows["test"]),
    }


def in_split(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n, 1) whether a picture of `labels` (n, C) is among the rows."""
    return np.isin(np.arange(len(labels)), rows)[:, None]


# ---- Measuring ---------------------------------------------------------------------------------


def precisions(
    features: np.ndarray, manifest: Manifest, groups: np.ndarray, kind: str, seed: int
) -> Iterator[tuple[str, str, float]]:
    """What is asked for, the ranking, and its precision."""
    truth = manifest.label_matrix()
    labels = ERRORS[kind](truth, np.random.default_rng(seed))

    # As the review leaves rare labels out.
    positives = (labels == 1).sum(0)
    negatives = (labels == 0).sum(0)
    judged = (positives >= LEAST_PICTURES) & (negatives >= LEAST_PICTURES)
    labels = labels[:, judged]
    wrong = labels != truth[:, judged]
    rows = {split: manifest.rows(split) for split in ("train", "val", "test")}

    probabilities = out_of_fold(features, labels, groups)
    for ranking, temperature in TEMPERATURES.items():
        trusted = trust(probabilities, labels, temperature)
        for asked, cells in asked_for(labels, rows).items():
            yield asked, ranking, Question(cells, trusted).precision(wrong)

    before = in_sample(features, labels, rows, seed)
    for asked, question in questions_before(before, labels, rows).items():
        yield asked, "before", question.precision(wrong)


def measure(features: np.ndarray, manifest: Manifest, seeds: int) -> list[dict]:
    """A row for each kind of errors and each question."""
    groups = copies(manifest)
    rows = []
    for kind in ERRORS:
        # By question and ranking, the precision of each seed in percent.
        found: dict[str, dict[str, list[float]]] = {}
        for seed in range(seeds):
            for asked, ranking, precision in precisions(features, manifest, groups, kind, seed):
                by_ranking = found.setdefault(asked, {})
                by_ranking.setdefault(ranking, []).append(round(100 * precision, 1))

        for asked, by_ranking in found.items():
            rows.append({"errors": kind, "asked_for": asked, "precision": by_ranking})
            means = {ranking: round(np.mean(p), 1) for ranking, p in by_ranking.items()}
            print(f"{kind}; {asked}: {means}", flush=True)
    return rows


def main() -> None:
    given = parser(__doc__, settings=Path("studies/own-data/params.yaml"), repeats=5).parse_args()
    layout = read_layout(given.settings)
    manifest = read_manifest(layout.data)
    named = layout.pipeline.features
    path = features_path(layout.data, named.backbone, named.resolution)
    features, _ = read_features(path, manifest, named.backbone, named.resolution)

    rows = measure(features.numpy(), manifest, given.repeats)
    data = f"{layout.name}: {manifest.pictures} pictures, {len(manifest.classes)} labels; "
    data += f"{named.backbone} at {named.resolution} px; {given.repeats} seeds"
    write("label_errors", rows, __doc__, given.out, data=data)


if __name__ == "__main__":
    main()
