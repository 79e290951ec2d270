"""Two numbers of the same pictures: is their difference more than chance?

Both numbers are measured on the same resamples of the pictures (`metrics.bootstrap`): what makes a
resample easy makes it so for both, so that their difference varies less than either. Its deviation
over resamples is its standard error. Numbers that are means over training seeds are averaged inside
each resample, and what other seeds would change comes on top.

The interval and the p-value are Student's. Of so few seeds as are trained, and of 200 resamples,
that says more than quantiles of resamples do; and a p-value may be so small that it stays small
beside hundreds of other comparisons.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mlrepro.metrics.bootstrap import CONFIDENCE, benjamini_hochberg, standard_error

# Standard errors on either side of a number that hold 95 % of a normal distribution.
NORMAL = 1.96

# Of differences that are called so, how many may be chance (Benjamini and Hochberg 1995).
FALSE_DISCOVERIES = 0.05


class SeedVariance(NamedTuple):
    """Of a difference of means over seeds; freedom: its degrees, infinite where nothing varies."""

    variance: float
    freedom: float


ONE_SEED = SeedVariance(0.0, math.inf)


@dataclass(frozen=True)
class Difference:
    """First minus second, in points.

    error:    its standard error, if both were measured on the same pictures.
    unpaired: what that would be if each had been measured on pictures of its own.
    freedom:  degrees of freedom of `error`; infinite: its distribution is the normal one.
    p:        how likely chance alone gives one as large, on either side; see `adjust`.
    """

    points: float
    error: float
    unpaired: float
    freedom: float
    p: float

    @property
    def margin(self) -> float:
        """Half of the 95 % interval."""
        return quantile(self.freedom) * self.error

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        return self.points - self.margin, self.points + self.margin

    @property
    def unpaired_interval(self) -> tuple[float, float]:
        margin = NORMAL * self.unpaired
        return self.points - margin, self.points + margin

    @property
    def is_told_apart(self) -> bool:
        return self.p <= FALSE_DISCOVERIES

    @property
    def is_apart_unpaired(self) -> bool:
        return abs(self.points) > NORMAL * self.unpaired


def paired_difference(
    points: float, first: np.ndarray, second: np.ndarray, seeds: SeedVariance = ONE_SEED
) -> Difference:
    """Of two numbers that differ by `points`; first, second (R,): theirs on the same resamples.

    A resample where either is NaN says nothing.
    """
    errors = (standard_error(first), standard_error(second))
    return difference(points, standard_error(first - second), errors, seeds)


def difference(
    points: float, of_pictures: float, unpaired: Sequence[float], seeds: SeedVariance = ONE_SEED
) -> Difference:
    """From standard errors: of the difference over pictures, and of either number alone."""
    error = math.hypot(of_pictures, math.sqrt(seeds.variance))
    freedom = _freedom(error, seeds)
    return Difference(
        points=points,
        error=error,
        unpaired=math.hypot(*unpaired, math.sqrt(seeds.variance)),
        freedom=freedom,
        p=p_value(points, error, freedom),
    )


def adjust(differences: Sequence[Difference]) -> list[Difference]:
    """The same, with p-values that are adjusted for all of them (Benjamini and Hochberg 1995)."""
    adjusted = benjamini_hochberg([one.p for one in differences])
    return [replace(one, p=float(p)) for one, p in zip(differences, adjusted, strict=True)]


# ---- Seeds ---------------------------------------------------------------------------------------


def paired_seeds(differences: Sequence[float]) -> SeedVariance:
    """Of a difference by seed, where both numbers have the same seeds."""
    count = len(differences)
    if count < 2:
        return ONE_SEED
    return _seed_variance([(statistics.variance(differences) / count, count - 1)])


def separate_seeds(first: Sequence[float], second: Sequence[float]) -> SeedVariance:
    """Of numbers by seed, where the seeds of one have nothing to do with those of the other."""
    parts = []
    for values in (first, second):
        count = len(values)
        if count > 1:
            parts.append((statistics.variance(values) / count, count - 1))
    return _seed_variance(parts)


def _seed_variance(parts: Sequence[tuple[float, int]]) -> SeedVariance:
    """The sum of variances with their degrees of freedom (Satterthwaite 1946)."""
    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return ONE_SEED
    spent = math.fsum((variance / total) ** 2 / freedom for variance, freedom in parts)
    return SeedVariance(total, 1 / spent)


def _freedom(error: float, seeds: SeedVariance) -> float:
    """Of an error of which seeds are a part; that of pictures is as good as known."""
    if not seeds.variance:
        return math.inf
    return seeds.freedom * (error**2 / seeds.variance) ** 2


# ---- Student's t ---------------------------------------------------------------------------------


def quantile(freedom: float) -> float:
    """Standard errors on either side of a number that hold 95 %."""
    if math.isinf(freedom):
        return NORMAL
    from scipy.special import stdtrit  # here: of single seeds nobody needs SciPy

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def p_value(points: float, error: float, freedom: float = math.inf) -> float:
    """How likely an error of this deviation is at least as large, on either side."""
    if error == 0:
        return 1.0 if points == 0 else 0.0
    deviations = abs(points) / error
    if math.isinf(freedom):
        return math.erfc(deviations / math.sqrt(2))
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -deviations))
