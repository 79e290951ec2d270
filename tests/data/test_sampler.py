"""Class-uniform sampling: its distribution against the formula, its seeds, a class nobody shows."""

import numpy as np
import pytest

from mlrepro.data.samplers import class_uniform_batches
from mlrepro.errors import InputError

CLASSES = ["a", "b", "c", "d"]


def draw(labels: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    positives = np.nonzero(labels > 0)
    return class_uniform_batches(
        len(labels), batch_size, seed, epoch, positives=positives, classes=CLASSES
    )


@pytest.fixture
def labels() -> np.ndarray:
    """(400, 4): a long tail with pictures of several labels, of none, and ignored entries."""
    random = np.random.RandomState(0)
    labels = (random.rand(400, 4) < [0.6, 0.2, 0.05, 0.01]).astype(np.int8)
    labels[7] = [-1, -1, 0, 0]
    return labels


def test_draws_follow_the_formula(labels):
    epochs = 500
    positive = labels == 1
    labelled = positive.any(1)
    share = (positive / (4 * positive.sum(0))).sum(1)  # of the draws, by picture
    assert share.sum() == pytest.approx(1)

    batches = [batch for epoch in range(epochs) for batch in draw(labels, 8, 5, epoch)]
    drawn = np.concatenate(batches)
    counts = np.bincount(drawn, minlength=len(labels))
    assert len(drawn) == epochs * len(labels)
    assert (~labelled).sum() > 50
    assert not counts[~labelled].any()

    expected = len(drawn) * share
    deviation = np.sqrt(expected * (1 - share))
    z = (counts - expected)[labelled] / deviation[labelled]
    assert np.abs(z).max() < 4.5
    assert 0.8 < (z**2).mean() < 1.2

    # A class is shown in a quarter of the draws by itself, and more often the more it comes with
    # others.
    shown = positive[drawn].mean(0)
    assert (shown > 0.245).all()
    assert shown[0] > shown[3]


def test_seed_and_epoch(labels):
    first = draw(labels, 48, 1, 2)
    assert [len(batch) for batch in first] == [48] * 8
    np.testing.assert_array_equal(first, draw(labels, 48, 1, 2))
    assert not np.array_equal(first, draw(labels, 48, 1, 3))
    assert not np.array_equal(first, draw(labels, 48, 2, 2))


def test_a_batch_larger_than_the_data_is_all_of_it(labels):
    assert [len(batch) for batch in draw(labels, 1000, 1, 2)] == [400]


def test_class_that_can_never_be_drawn(labels):
    labels[:, 2] = np.minimum(labels[:, 2], 0)
    labels[3, 2] = -1
    with pytest.raises(InputError, match="can never draw 'c', which no training picture shows"):
        draw(labels, 8, 0, 0)
