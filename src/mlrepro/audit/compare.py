"""Two sets of scores on the same pictures: which differences are more than chance.

Both are scored on the same resamples of the pictures (`metrics.bootstrap`), under the default
protocol, of the classes that both score.
"""

from dataclasses import dataclass, replace

import numpy as np

from mlrepro.audit.join import Joined
from mlrepro.audit.protocols import Protocol
from mlrepro.audit.scales import Scale
from mlrepro.audit.views import see
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.bootstrap import RESAMPLES, resampled_average_precision, resampled_map
from mlrepro.pairs import Difference, adjust, paired_difference


@dataclass(frozen=True)
class Compared:
    """One number of two sets of scores, in percent; p is adjusted for all that are compared."""

    name: str
    first: float
    second: float
    difference: Difference


@dataclass(frozen=True)
class Comparison:
    """mAP first, then each class that both score and that has a positive.

    pictures: that were compared on. left_out: classes that one of the two lacks.
    """

    rows: list[Compared]
    pictures: int
    left_out: list[str]


@dataclass(frozen=True)
class Resampled:
    """Numbers of one set of scores in percent, (n,), and on every resample, (R, n)."""

    values: np.ndarray
    resamples: np.ndarray


def compare(
    first: tuple[Joined, Scale],
    second: tuple[Joined, Scale],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Both joined to the same labels."""
    joined, scale = first
    other, other_scale = second
    scored = ~(joined.absent | other.absent)
    has_positive = (joined.labels(Protocol().difficult) == 1).any(axis=0)
    kept = np.flatnonzero(scored & has_positive)

    # Resamples draw rows: both must have their pictures in one order.
    other = _in_order(other, joined.ids)
    of_first = _resample(joined, scale, kept, resamples, seed)
    of_second = _resample(other, other_scale, kept, resamples, seed)
    names = ["mAP", *(joined.classes[k] for k in kept)]
    return Comparison(
        rows=compare_resampled(names, of_first, of_second),
        pictures=joined.pictures,
        left_out=[joined.classes[k] for k in np.flatnonzero(~scored)],
    )


def compare_resampled(names: list[str], first: Resampled, second: Resampled) -> list[Compared]:
    """A row a number; their p-values are adjusted for all of them."""
    points = first.values - second.values
    differences = [
        paired_difference(float(points[k]), first.resamples[:, k], second.resamples[:, k])
        for k in range(len(names))
    ]

    rows = []
    for k, difference in enumerate(adjust(differences)):
        rows.append(Compared(names[k], float(first.values[k]), float(second.values[k]), difference))
    return rows


def _resample(
    joined: Joined, scale: Scale, kept: np.ndarray, resamples: int, seed: int
) -> Resampled:
    """mAP and each class's average precision."""
    protocol = Protocol()
    view = see(joined, scale, protocol)
    scores = view.scores[:, kept]
    labels = view.labels[:, kept]

    aps = average_precision(scores, labels)
    drawn = resampled_average_precision(scores, labels, resamples, seed)
    return Resampled(
        values=np.append(mean_average_precision(aps, protocol.empty), 100 * aps),
        resamples=np.column_stack([resampled_map(drawn, protocol.empty), 100 * drawn]),
    )


def _in_order(joined: Joined, ids: list[str]) -> Joined:
    """The same pictures in the order of `ids`."""
    if joined.ids == ids:
        return joined
    place = {name: row for row, name in enumerate(joined.ids)}
    rows = np.array([place[name] for name in ids])
    return replace(
        joined,
        ids=ids,
        scores=joined.scores[rows],
        states=joined.states[rows],
        missing=joined.missing[rows],
    )
