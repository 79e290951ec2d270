"""Which training pictures an epoch shows, and in which order. Nothing here reads a picture.

A batch is an array of positions: position i is the i-th of the rows that a training reads. All
draws follow from (seed, epoch), so that a resumed training sees what an uninterrupted one sees.
"""

from collections.abc import Sequence

import numpy as np

from mlrepro.errors import InputError

# So many shards of pictures are mixed in one stretch of an epoch.
SHARDS_MIXED = 16


def sequential_batches(n: int, batch_size: int) -> list[np.ndarray]:
    """All positions in their order; the last batch may be smaller."""
    return [np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]


def shuffled_batches(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Positions of one training epoch: a permutation. An incomplete last batch is left out."""
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return _full_batches(order, batch_size)


def shard_batches(
    n: int, batch_size: int, seed: int, epoch: int, *, shards: np.ndarray
) -> list[np.ndarray]:
    """Positions of one training epoch that wants shard after shard.

    The shards come in a random order, and the pictures of each are mixed with those of the
    SHARDS_MIXED - 1 before and after. An incomplete last batch is left out.

    shards: (N,) the number of each position's shard; the numbers are consecutive.
    """
    random = np.random.default_rng([seed, epoch])
    first = shards.min()
    place_of_shard = random.permutation(shards.max() - first + 1)
    place = place_of_shard[shards - first]

    # A picture may come up to SHARDS_MIXED shards later than its own.
    delay = random.uniform(0, SHARDS_MIXED, n)
    order = np.argsort(place + delay, kind="stable")
    return _full_batches(order, batch_size)


def class_uniform_batches(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    positives: tuple[np.ndarray, np.ndarray],
    classes: Sequence[str],
) -> list[np.ndarray]:
    """Positions of one training epoch as the MIRFLICKR study draws them, not a permutation.

    N times a class is drawn, then one of its positives, both uniformly and with replacement. A
    picture with the classes y is drawn N sum_{c in y} 1 / (K n_c) times on average, n_c being the
    positives of class c; one without positives never is. An incomplete last batch is left out.

    positives: position and class index of each label, by position, as np.nonzero gives them.
    Raises InputError for a class that has no positive, by its name.
    """
    pictures, columns = positives
    counts = np.bincount(columns, minlength=len(classes))
    if not counts.all():
        absent = classes[int(np.argmin(counts))]
        raise InputError(
            f"sampler: class_uniform can never draw {absent!r}, which no training picture shows; "
            "leave the class out of the data set's `classes`, or say `sampler: uniform`"
        )

    # The labels of class 0, then those of class 1, and so on. The smallest type that holds a class
    # index: numpy sorts 16 bits in linear time.
    small = columns.astype(np.min_scalar_type(len(classes)))
    by_class = np.argsort(small, kind="stable")
    start_of_class = counts.cumsum() - counts

    random = np.random.default_rng([seed, epoch])
    drawn = random.integers(len(classes), size=n)
    which = random.integers(counts[drawn])
    order = pictures[by_class[start_of_class[drawn] + which]]
    return _full_batches(order, batch_size)


def _full_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """`order` cut into batches without the incomplete last one, unless that is the only one."""
    if len(order) < batch_size:
        return [order]
    ends = range(batch_size, len(order) + 1, batch_size)
    return [order[end - batch_size : end] for end in ends]
