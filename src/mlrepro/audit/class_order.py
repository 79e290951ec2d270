"""Whether the columns of scores are the classes that they are said to be, and what they look like.

Scores of one order under labels of another have an mAP near chance. Which order they are in shows
where each column ranks the pictures of each class.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from mlrepro.audit.class_names import COCO, match_classes
from mlrepro.metrics.average_precision import average_precision, mean_average_precision

# Pictures that the columns are compared on; more say no more.
SAMPLED = 5_000

# How much better another order must be before it is named: in points, and as a part of what is
# between the mAP and 100. Of many orders the best is a little better by chance.
POINTS = 5.0
SHARE = 0.2
# Classes that are exchanged without the others, by how many points each must gain.
CLASS_POINTS = 20.0

AS_GIVEN = "as given"
BEST = "best matching of columns and classes"


@dataclass(frozen=True)
class ClassOrder:
    """mAPs in percent, of SAMPLED pictures.

    chance:   of scores that say nothing: the mean share of positives.
    mAPs:     by order, `AS_GIVEN` first.
    inverted: where the lowest score is the best.
    columns:  by the class that a column is called after, the class that it looks like, where these
              differ; none where the columns are in order.
    found:    the order that the columns seem to be in; none where it is as given.
    """

    chance: float
    mAPs: dict[str, float]
    inverted: float
    columns: dict[str, str]
    found: str | None

    @property
    def is_inverted(self) -> bool:
        """Whether the lowest scores are the best, under whatever order of the columns."""
        return self.inverted > max(self.mAPs.values()) + POINTS

    @property
    def at_chance(self) -> bool:
        """Whether the scores say next to nothing in any order."""
        return max(self.mAPs.values()) < self.chance + SHARE * (100 - self.chance) / 4


def judge_order(
    scores: np.ndarray, labels: np.ndarray, classes: list[str], seed: int = 0
) -> ClassOrder:
    """scores, labels (N, K): see `mlrepro.metrics`."""
    scores, labels = _sample(scores, labels, seed)
    positives = (labels == 1).sum(axis=0)
    judged = (labels != -1).sum(axis=0)
    known = positives > 0

    orders = {AS_GIVEN: np.arange(len(classes))} | _named_orders(classes)
    orders[BEST] = _best_matching(scores, labels)
    mAPs = {name: _mean_ap(scores[:, order], labels) for name, order in orders.items()}

    chance = 0.0
    if known.any():
        chance = 100 * float(np.mean(positives[known] / judged[known]))
    inverted = _mean_ap(-scores, labels)

    # Of scores whose lowest is the best, an order would say nothing.
    best = orders[BEST]
    found = None
    moved: list[int] = []
    if inverted <= max(mAPs.values()):
        found = _found(mAPs)
        moved = np.flatnonzero(best != np.arange(len(best))).tolist()
        if found is None:
            moved = _exchanged(scores, labels, best)
            found = BEST if moved else None
    return ClassOrder(
        chance=chance,
        mAPs=mAPs,
        inverted=inverted,
        columns={classes[best[k]]: classes[k] for k in moved} if found else {},
        found=found,
    )


def _sample(scores: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if len(scores) > SAMPLED:
        rows = np.random.default_rng(seed).choice(len(scores), SAMPLED, replace=False)
        scores = scores[rows]
        labels = labels[rows]
    return scores, labels


def _mean_ap(scores: np.ndarray, labels: np.ndarray) -> float:
    return mean_average_precision(average_precision(scores, labels), "skip")


def _named_orders(classes: list[str]) -> dict[str, np.ndarray]:
    """The column of each class, if columns were in another order that code of papers has."""
    places = range(len(classes))
    by_name = sorted(places, key=lambda place: classes[place].casefold())
    orders = {"alphabetical": _column_of(by_name)}

    by_number = match_classes(classes, list(COCO.values())).columns
    if len(classes) == len(COCO) and None not in by_number:
        orders["COCO's category numbers"] = _column_of(by_number)
    orders["reversed"] = np.arange(len(classes))[::-1]

    # Labels that are in such an order themselves say nothing of another one.
    others = {}
    for name, order in orders.items():
        is_given = (np.diff(order) == 1).all()
        if not is_given:
            others[name] = order
    return others


def _column_of(order: list[int]) -> np.ndarray:
    """The column of each class, of classes listed by column."""
    return np.argsort(order)


def _best_matching(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The column of each class, a different one each, by the area under the ROC curve."""
    area = rank_areas(scores, labels)
    columns, places = linear_sum_assignment(-area)
    order = np.empty(len(area), np.int64)
    order[places] = columns
    return order


def rank_areas(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(columns, classes) area under the ROC curve of each column of scores for each class.

    By Mann and Whitney: from the sum of the positives' ranks, for all pairs one matrix product.
    Ignored entries count as negative, and a class without positives or negatives has 0.5.
    """
    ranks = rankdata(scores, axis=0)
    positive = (labels == 1).astype(np.float64)
    positives = positive.sum(axis=0)
    negatives = len(labels) - positives

    # Pairs of a positive and a negative that is below it: all that are below the positives, without
    # the pairs of two positives.
    above = ranks.T @ positive - positives * (positives + 1) / 2
    pairs = positives * negatives
    return np.divide(above, pairs, out=np.full(above.shape, 0.5), where=pairs > 0)


def _found(mAPs: dict[str, float]) -> str | None:
    """The plainest order that is far better than the given one, and not far below the best."""
    given = mAPs[AS_GIVEN]
    needed = given + max(POINTS, SHARE * (100 - given))
    better = {name: mAP for name, mAP in mAPs.items() if mAP >= needed}
    if not better:
        return None
    best = max(better.values())
    return next(name for name, mAP in better.items() if mAP >= best - POINTS)


def _exchanged(scores: np.ndarray, labels: np.ndarray, best: np.ndarray) -> list[int]:
    """Classes that gain much by another column than theirs."""
    moved = np.flatnonzero(best != np.arange(len(best)))
    if not len(moved):
        return []
    own = average_precision(scores[:, moved], labels[:, moved])
    other = average_precision(scores[:, best[moved]], labels[:, moved])
    gain = 100 * np.nan_to_num(other - own)
    return moved[gain >= CLASS_POINTS].tolist()
