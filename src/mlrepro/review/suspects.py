"""The labels of a data set that a person should look at, most suspicious first."""

from dataclasses import dataclass, replace

import numpy as np

from mlrepro.review.folds import FOLDS, stratified_folds
from mlrepro.review.label_quality import adjusted_quality, label_issues, picture_quality
from mlrepro.review.out_of_fold import out_of_fold_probabilities

PRESENT = 1
ABSENT = 0
UNKNOWN = -1

# Of a label with fewer pictures, or with fewer that lack it, not every fold can have one.
LEAST_PICTURES = 5
# Of a label that few pictures have, so many unknown cells are offered all the same.
LEAST_UNKNOWN = 20


@dataclass(frozen=True)
class Suspects:
    """Labels to doubt, and unknown ones that are likely there.

    Each of the first five is (m,), most suspicious first.

    rows, classes: of the label matrix.
    given:         PRESENT, ABSENT or UNKNOWN.
    probability:   that the label is there, by a model that has not seen the picture.
    likely:        whether it is unknown, or confident learning takes it for wrong, too.
    pictures:      (n,) how suspicious all labels of each picture are together, 0 to 1.
    judged:        (C,) whether a label has enough pictures to be judged.
    """

    rows: np.ndarray
    classes: np.ndarray
    given: np.ndarray
    probability: np.ndarray
    likely: np.ndarray
    pictures: np.ndarray
    judged: np.ndarray

    def count(self, given: int) -> int:
        """How many are likely wrong, or there, of those that are given so."""
        return int((self.likely & (self.given == given)).sum())

    def chosen(self, kept: np.ndarray) -> "Suspects":
        """Those for which `kept` (m,) is true."""
        return replace(
            self,
            rows=self.rows[kept],
            classes=self.classes[kept],
            given=self.given[kept],
            probability=self.probability[kept],
            likely=self.likely[kept],
        )


def find_suspects(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, partial: bool = False
) -> Suspects:
    """Looks at all pictures: (n, d) features, (n, C) labels of 1, 0 or -1, (n,) groups of copies.

    partial: a label that is not given is unknown. A model is trained as if it was absent, for most
    are; it is then offered as unknown ones are.
    """
    positives = (labels == 1).sum(0)
    negatives = (labels == 0).sum(0)
    judged = (positives >= LEAST_PICTURES) & (negatives >= LEAST_PICTURES)
    # Where all are copies of a few, none can be left out.
    judged &= len(np.unique(groups)) >= FOLDS
    places = np.flatnonzero(judged)
    if not len(places):
        return _none(labels, judged)

    trained = labels[:, places]
    folds = stratified_folds(trained, groups)
    probabilities = out_of_fold_probabilities(features, trained, folds)

    given = np.where(trained == ABSENT, UNKNOWN, trained) if partial else trained
    # Frequencies and thresholds are those of the labels that the model was trained with.
    quality = adjusted_quality(probabilities, trained)
    issues = label_issues(probabilities, trained) & (given != UNKNOWN)
    offered = _probably_present(probabilities, given)

    # Of a known label its other answer, of an unknown one that it is there.
    suspicion = np.where(given == UNKNOWN, probabilities, 1 - quality)
    doubted = (suspicion > 0.5) & (given != UNKNOWN)

    rows, columns = np.nonzero(offered | issues | doubted)
    most_first = np.argsort(-suspicion[rows, columns], kind="stable")
    rows = rows[most_first]
    columns = columns[most_first]
    return Suspects(
        rows=rows,
        classes=places[columns],
        given=given[rows, columns],
        probability=probabilities[rows, columns],
        likely=issues[rows, columns] | offered[rows, columns],
        pictures=1 - picture_quality(np.where(given == UNKNOWN, np.nan, quality)),
        judged=judged,
    )


def _probably_present(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(n, C) bool: unknown labels as probable as those given are on average, or as 0.5.

    Of each label not more than are given, the most probable ones.
    """
    offered = np.zeros(given.shape, bool)
    for label in range(given.shape[1]):
        present = given[:, label] == PRESENT
        unknown = np.flatnonzero(given[:, label] == UNKNOWN)
        threshold = min(0.5, probabilities[present, label].mean())
        likely = probabilities[unknown, label] >= threshold

        candidates = unknown[likely]
        most_first = np.argsort(-probabilities[candidates, label], kind="stable")
        most = max(LEAST_UNKNOWN, present.sum())
        offered[candidates[most_first[:most]], label] = True
    return offered


def _none(labels: np.ndarray, judged: np.ndarray) -> Suspects:
    no_place = np.empty(0, np.int64)
    return Suspects(
        rows=no_place,
        classes=no_place,
        given=no_place,
        probability=np.empty(0),
        likely=np.empty(0, bool),
        pictures=np.zeros(len(labels)),
        judged=judged,
    )
