"""Orders of a training epoch other than a permutation; see images.shuffled_batches."""

from collections.abc import Sequence

import numpy as np

from mlrepro.errors import InputError


def class_uniform_batches(labels: np.ndarray, classes: Sequence[str], batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Positions of one training epoch: N times a class, then one of its positives, both uniformly and with replacement (001).

    labels: (N, K), positive above 0. A picture with the classes y is drawn N sum_{c in y} 1 / (K n_c) times on average, n_c
    being the positives of class c; one without positives never is. All draws follow from (seed, epoch). An incomplete
    last batch is left out. InputError names a class that has no positive.
    """
    columns, pictures = np.nonzero(np.asarray(labels).T > 0)
    counts = np.bincount(columns, minlength=len(classes))
    if not counts.all():
        raise InputError(f"sampler: class_uniform can never draw {classes[int(np.argmin(counts))]!r}, which no training picture "
                         f"shows; leave the class out of the data set's `classes`, or say `sampler: uniform`")
    random = np.random.default_rng([seed, epoch])
    drawn = random.integers(len(classes), size=len(labels))
    order = pictures[(counts.cumsum() - counts)[drawn] + random.integers(counts[drawn])]
    return [order[start:start + batch_size] for start in range(0, len(order) - batch_size + 1, batch_size)] or [order]
