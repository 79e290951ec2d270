"""Completes the splits that a user gives."""

import numpy as np
import pandas
from iterstrat.ml_stratifiers import IterativeStratification

from mlrepro_cli.init_data.own_data import OwnData

# Of more labels, only so many are stratified by: the rarest of which a part can have one. Frequent
# ones fall into every part by chance, and time grows with the square of their number.
MOST_LABELS = 300
LEAST_PICTURES = 5

# The share and seed with which Cole et al. (2021) cut validation pictures out of train.
TEST_SHARE = 0.2
SEED = 1200


def complete_splits(own: OwnData) -> np.ndarray:
    """The split of every picture: train, val or test, as given where it is given.

    No split, or one alone, is train, and validation is test where there is none. What lacks of test
    and validation is a fifth of train, of each label alike (Sechidis et al. 2011), with copies of a
    picture together.
    """
    split = own.frame["split"].replace("", "train").to_numpy(object, copy=True)
    # A part alone says nothing: whoever has train alone, or test alone, has no split.
    if len(set(split)) == 1:
        split[:] = "train"
    # Here are two parts at least, one of which is not for training.
    if "train" not in split:
        print("No train pictures are given: those of val are taken for training")
        split[split == "val"] = "train"
    if "test" not in split and "val" in split:
        print("No test pictures are given: val is used as test, and a new val is cut from train")
        split[split == "val"] = "test"

    # Test first, so that it is a fifth of all.
    for part in ("test", "val"):
        if part in split:
            continue
        split[_drawn(own, np.flatnonzero(split == "train"))] = part
        print(
            f"No {part} pictures are given: a fifth of the training pictures is taken, stratified "
            f"by label (seed {SEED})"
        )
    return split


def _drawn(own: OwnData, rows: np.ndarray) -> np.ndarray:
    """A fifth of the rows, stratified by label."""
    shares = np.array([1 - TEST_SHARE, TEST_SHARE])
    random = np.random.RandomState(SEED)
    labels = _stratified_labels(own.labels[rows])
    fold = pandas.Series(IterativeStratification(labels, shares, random))

    # A picture's copies go where the first of them went.
    digests = own.frame["digest"].to_numpy()[rows]
    fold = fold.groupby(digests).transform("first")
    return rows[fold == 1]


def _stratified_labels(labels: np.ndarray) -> np.ndarray:
    """All columns, or of many labels those that are worth it."""
    if labels.shape[1] <= MOST_LABELS:
        return labels

    pictures = labels.sum(0)
    rarest_first = np.argsort(pictures, kind="stable")
    worth_it = rarest_first[pictures[rarest_first] >= LEAST_PICTURES]
    return labels[:, np.sort(worth_it[:MOST_LABELS])]
