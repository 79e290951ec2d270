"""Class-uniform sampling: its distribution against the formula, its seeds, a class nobody shows."""

import numpy as np
import pytest

from mlrepro.data.images import class_uniform_batches
from mlrepro.errors import InputError

CLASSES = ["a", "b", "c", "d"]


def draw(labels, batch_size, seed, epoch):
    return class_uniform_batches(
        len(labels), batch_size, seed, epoch, positives=np.nonzero(labels > 0), classes=CLASSES
    )


def tail(n=400):
    """A long tail with pictures of several labels, of none, and ignored entries."""
    random = np.random.RandomState(0)
    labels = (random.rand(n, 4) < [0.6, 0.2, 0.05, 0.01]).astype(np.int8)
    labels[7] = [-1, -1, 0, 0]
    return labels


def test_draws_follow_the_formula():
    labels, epochs = tail(), 500
    positive = labels == 1
    expected = (positive / (4 * positive.sum(0))).sum(1)
    drawn = np.concatenate([np.concatenate(draw(labels, 8, 5, epoch)) for epoch in range(epochs)])
    counts = np.bincount(drawn, minlength=len(labels))
    assert len(drawn) == epochs * len(labels) and expected.sum() == pytest.approx(1)
    assert (~positive.any(1)).sum() > 50 and not counts[~positive.any(1)].any()
    mean, shown = len(drawn) * expected, positive.any(1)
    z = (counts - mean)[shown] / np.sqrt(mean * (1 - expected))[shown]
    assert np.abs(z).max() < 4.5 and 0.8 < (z**2).mean() < 1.2
    # A class is shown in a quarter of the draws by itself, and more often the more it comes with others.
    share = positive[drawn].mean(0)
    assert (share > 0.245).all() and share[0] > share[3]


def test_seed_and_epoch():
    labels = tail()
    first = draw(labels, 48, 1, 2)
    assert [len(batch) for batch in first] == [48] * 8
    np.testing.assert_array_equal(first, draw(labels, 48, 1, 2))
    assert not np.array_equal(first, draw(labels, 48, 1, 3))
    assert not np.array_equal(first, draw(labels, 48, 2, 2))
    assert [len(batch) for batch in draw(labels, 1000, 1, 2)] == [400]


def test_class_that_can_never_be_drawn():
    labels = tail()
    labels[:, 2] = np.minimum(labels[:, 2], 0)
    labels[3, 2] = -1
    with pytest.raises(InputError, match="can never draw 'c', which no training picture shows"):
        draw(labels, 8, 0, 0)
