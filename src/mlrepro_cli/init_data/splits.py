"""Completes the splits that a user gives."""

import numpy as np
import pandas
from iterstrat.ml_stratifiers import IterativeStratification

from mlrepro.errors import InputError
from mlrepro.review.folds import rarest_labels
from mlrepro_cli.init_data.own_data import OwnData

# Of a label with fewer pictures a fifth is none.
LEAST_PICTURES = 5

# Where stratifying draws less than this share of the fifth, it draws hardly anything.
LEAST_OF_A_FIFTH = 0.5

# The share and seed with which Cole et al. (2021) cut validation pictures out of train.
TEST_SHARE = 0.2
SEED = 1200


def complete_splits(own: OwnData, regroup: bool = False) -> np.ndarray:
    """The split of every picture: train, val or test, as given where it is given.

    No split, or one alone, is train, and validation is test where there is none. What lacks of test
    and validation is a fifth of train, of each label alike (Sechidis et al. 2011), with pictures
    together that belong together (the frame's column `together`).

    regroup: those that are given in two splits come into one of them. Raises InputError where there
    are too few groups to draw from.
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

    if regroup:
        split = _regrouped(own, split)

    # Test first, so that it is a fifth of all.
    for part in ("test", "val"):
        if part in split:
            continue
        rows = np.flatnonzero(split == "train")
        drawn = _drawn(own, rows)
        split[drawn] = part
        print(
            f"No {part} pictures are given: {len(drawn)} of {len(rows)} training pictures are "
            f"taken, a fifth of each label where it can be (seed {SEED})"
        )
    return split


def _drawn(own: OwnData, rows: np.ndarray) -> np.ndarray:
    """A fifth of the rows, stratified by label."""
    # Groups are drawn, each with all labels that its pictures have.
    group, _ = pandas.factorize(own.frame["together"].to_numpy()[rows])
    labels = np.zeros((group.max() + 1, own.labels.shape[1]), bool)
    np.logical_or.at(labels, group, own.labels[rows])

    shares = np.array([1 - TEST_SHARE, TEST_SHARE])
    random = np.random.RandomState(SEED)
    fold = np.array(IterativeStratification(rarest_labels(labels, LEAST_PICTURES), shares, random))
    if fold.sum() < TEST_SHARE * len(labels) * LEAST_OF_A_FIFTH:
        # Of labels that so few pictures have, each goes wholly into the larger part.
        print("Labels are too rare to be stratified: pictures are drawn regardless of them")
        fold = random.permutation(len(labels)) < round(TEST_SHARE * len(labels))
    drawn = rows[fold[group] == 1]
    if not 0 < len(drawn) < len(rows):
        raise InputError(
            f"{own.root}: {len(rows)} pictures in {len(labels)} groups that must not lie in two "
            "splits are too few to take a fifth of for a test: add pictures, or leave out "
            "--group-column"
        )
    return drawn


def _regrouped(own: OwnData, split: np.ndarray) -> np.ndarray:
    """Each group where most of its pictures are; of equals, in test rather than in train."""
    parts = ("test", "val", "train")
    counts = pandas.crosstab(own.frame["together"].to_numpy(), split).reindex(
        columns=parts, fill_value=0
    )
    chosen = counts.idxmax(axis="columns")
    regrouped = chosen.loc[own.frame["together"]].to_numpy(object)
    print(f"--regroup: {(regrouped != split).sum()} pictures come into the split of their group")
    return regrouped
