"""Labels that nobody knows train nothing and are scored nowhere.

A picture whose labels are all unknown may show anything: neither weights nor metrics tell what.
"""

import numpy as np
import pandas
import pytest
import torch

from mlrepro.data.corruption import observe, write_observed
from mlrepro.data.manifest import Manifest, load_observed
from mlrepro.evaluation.measure import Truth, measure
from mlrepro.settings.data import Corruption
from mlrepro.settings.run import Run
from mlrepro.training.grid.data import GridData
from mlrepro.training.grid.search import search

PICTURES, CHANNELS, CLASSES = 60, 8, 3
ROWS = {"train": np.arange(36), "val": np.arange(36, 48), "test": np.arange(48, 60)}
# Pictures without one known label, one in each split.
UNKNOWN_ROWS = [5, 40, 50]
KNOWN = Corruption(positives=-1, negatives=-1, ignored="unobserved")

# What budgets.yaml trains for labels as they are given, and that of iu, which reads observed ones.
LOSSES = {"bce": "full", "asl": "full", "bce_ls": "full", "bce_weighted": "full", "iun": "single"}


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    random = np.random.default_rng(0)
    labels = (random.random((PICTURES, CLASSES)) < 0.4).astype(np.int8)
    labels[random.random(labels.shape) < 0.2] = -1
    labels[UNKNOWN_ROWS] = -1
    return labels


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(PICTURES, CHANNELS)).astype(np.float32)


def run_of(loss: str, labels: str) -> Run:
    return Run.model_validate(
        {
            "data": "own",
            "labels": labels,
            "inputs": "features",
            "head": "linear",
            "backbone": "resnet50",
            "weights": "none",
            "resolution": 224,
            "loss": {"name": loss},
            "optimizer": {"name": "adam", "lr": 0.01},
            "epochs": 3,
            "batch_size": 8,
        }
    )


def trained(features: np.ndarray, labels: np.ndarray) -> dict[str, tuple]:
    """Last weights, validation and test mAP of each loss."""
    full = labels[ROWS["train"]]
    observed = observe(full, KNOWN)
    targets = {"full": full, "single": observed, "iu": observed}
    data = GridData(
        torch.from_numpy(features),
        {name: torch.from_numpy(values) for name, values in targets.items()},
        labels,
        ROWS,
    )

    members = [(run_of(loss, read), 0) for loss, read in LOSSES.items()]
    results = {}
    for outcome in search(members, data):
        weights = {name: value.numpy() for name, value in outcome.weights("last").items()}
        results[outcome.run.loss.name] = (weights, outcome.best.val_mAP, outcome.test_mAP)
    return results


def with_other_pictures(features: np.ndarray, rows: list[int]) -> np.ndarray:
    other = features.copy()
    other[rows] = 100 - other[rows]
    return other


def test_unknown_labels_train_nothing(features, labels):
    before = trained(features, labels)
    after = trained(with_other_pictures(features, UNKNOWN_ROWS), labels)
    for loss, (weights, val, test) in before.items():
        for name, value in weights.items():
            np.testing.assert_array_equal(value, after[loss][0][name], err_msg=loss)
        assert (val, test) == after[loss][1:], loss

    # A picture with known labels does tell.
    changed = trained(with_other_pictures(features, [6]), labels)
    assert all((changed[loss][0]["weight"] != before[loss][0]["weight"]).any() for loss in LOSSES)


def test_unknown_labels_are_scored_nowhere(labels):
    random = np.random.default_rng(2)
    scores = {split: random.normal(size=(len(ROWS[split]), CLASSES)) for split in ("val", "test")}
    truth = Truth(
        ["a", "b", "c"],
        labels[ROWS["train"]],
        observe(labels[ROWS["train"]], KNOWN),
        {split: labels[ROWS[split]] for split in ("val", "test")},
    )
    run = run_of("bce", "full")
    before = measure(run, truth, scores, 0)

    other = {}
    for split, of_split in scores.items():
        unknown = truth.scored[split] == -1
        other[split] = np.where(unknown, -of_split - 3, of_split)
    after = measure(run, truth, other, 0)
    # The best three of a picture may be others, whether they are judged or not.
    judged = [key for key in before.metrics if not key.startswith("top3")]
    assert {key: before.metrics[key] for key in judged} == {
        key: after.metrics[key] for key in judged
    }
    assert before.per_class == after.per_class
    assert before.mAP_se == after.mAP_se


def test_unknown_labels_are_not_observed(labels, tmp_path):
    """In own data; in the papers', every label that is no positive counts as negative."""
    frame = pandas.DataFrame(
        {
            "image": [f"{row}.jpg" for row in range(PICTURES)],
            "part": "train",
            "split": np.repeat(list(ROWS), [36, 12, 12]),
            "labels": [list(np.flatnonzero(row == 1)) for row in labels],
            "ignored": [list(np.flatnonzero(row == -1)) for row in labels],
        }
    )
    manifest = Manifest.of_frame(frame, ["a", "b", "c"], tmp_path, {}, "")
    expected = np.select([labels == 1, labels == 0], [1, -1], 0)[:48]

    write_observed(manifest, KNOWN, tmp_path)
    for kind in ("observed", "iu"):
        rows, observed = load_observed(tmp_path, kind)
        np.testing.assert_array_equal(observed, expected[rows], err_msg=kind)

    write_observed(manifest, KNOWN.model_copy(update={"ignored": "negative"}), tmp_path)
    _, observed = load_observed(tmp_path)
    np.testing.assert_array_equal(observed, np.where(labels[:48] == 1, 1, -1))
