"""What records are worth: complete or not, told apart or not, and beside a printed number.

Every judgement stands here once. Numbers are mAP points or percent. A value that is absent stays
absent: no average is taken over one.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from mlrepro.records import Record, Records

Status = Literal["not-run", "failed", "partial", "reproduced", "exceeds", "below", "not-comparable"]
Completeness = Literal["not-run", "failed", "partial", "complete"]
NOT_RUN: Completeness = "not-run"

# The smallest difference that a re-run of the same code shows, in mAP points (design, section 4).
MINIMUM_TOLERANCE = 0.5

# Of a difference of two decimal numbers, as floats have it: 0.3 - 0.2 is below 0.1.
ROUNDING = 1e-9

REGIMES = {"full": "full labels", "single": "single-positive labels"}


# ---- One record, and the records of one run ----------------------------------------------------


def metric_values(
    records: list[Record], metric: str, selection: str | None = None
) -> list[float | None]:
    """One value a record, in percent.

    `selection`: of the weights `best` or `last`; none: of those that each run selects.
    """
    values = []
    for record in records:
        measurement = record.measurements.get(selection or record.run.selection)
        values.append(measurement.metrics.get(metric) if measurement else None)
    return values


def mean(values: Sequence[float | None]) -> float | None:
    """None of no values, or where one is absent."""
    if not values or None in values:
        return None
    return statistics.fmean(values)


def mean_and_std(values: list[float]) -> tuple[float, float | None]:
    """Mean, and sample standard deviation (n - 1), none for a single value."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return statistics.fmean(values), std


def mean_map(records: list[Record]) -> float | None:
    return mean(metric_values(records, "mAP"))


def standard_error(records: list[Record]) -> float | None:
    """SE of mAP from resampled test pictures, in points, averaged over seeds."""
    return mean([record.selected.mAP_se for record in records])


def class_ap(records: list[Record]) -> list[list[float | None]]:
    """AP in percent: a list a class, in the data set's order, each with one value a record."""
    by_class = zip(*(record.selected.per_class for record in records), strict=True)
    return [[None if c.AP is None else 100 * c.AP for c in values] for values in by_class]


# ---- Completeness ------------------------------------------------------------------------------


def record_shortfalls(record: Record) -> list[str]:
    """What one record lacks: epochs that were not trained, test pictures that were not scored."""
    lacks = []
    run = record.run

    # A run that says when it stops is complete whenever it has stopped.
    stops_early = run.stop_below is not None or run.early_stop is not None
    if len(record.history) != run.epochs and not stops_early:
        lacks.append(f"{len(record.history)} of {run.epochs} epochs")

    test = record.splits["test"]
    if test.used != run.scored(test.expected):
        lacks.append(f"{test.used} of {test.expected} test pictures")
    return lacks


def shortfalls(records: list[Record], seeds: list[int]) -> list[str]:
    """What a run lacks to be complete, seeds that were not run first."""
    measured = {record.seed for record in records}
    lacks = [f"seed {seed} not run" for seed in seeds if seed not in measured]
    for record in records:
        lacks += [f"seed {record.seed}: {lack}" for lack in record_shortfalls(record)]
        if metric_values([record], "mAP") == [None]:
            lacks.append(f"seed {record.seed}: no mAP")
    return lacks


def completeness(records: list[Record], seeds: list[int], failed: bool = False) -> Completeness:
    """`failed`: the last launch could not give a record."""
    if not records:
        return "failed" if failed else NOT_RUN
    return "partial" if shortfalls(records, seeds) else "complete"


# ---- Beside a printed number -------------------------------------------------------------------


def tolerance(
    values: list[float],
    standard_error: float | None,
    reported_std: float | None = None,
    minimum: float = MINIMUM_TOLERANCE,
) -> float:
    """max(minimum, 2 sqrt(s^2/n + SE^2), reported std) in mAP points.

    s: over seeds; SE: from resampled test pictures, none counts 0.
    """
    _, std = mean_and_std(values)
    variance_of_mean = (std or 0.0) ** 2 / len(values)
    spread = 2 * math.sqrt(variance_of_mean + (standard_error or 0.0) ** 2)
    return max(minimum, spread, reported_std or 0.0)


# A judgement depends on all of these, and each caller names those that its numbers have.
def judge(  # noqa: PLR0913
    records: list[Record],
    reported: float | None,
    *,
    seeds: int,
    metric: str = "mAP",
    failed: bool = False,
    comparable: bool = True,
    reported_std: float | None = None,
    allowed: float | None = None,
) -> Status:
    """The status of one reported number, in percent, beside our records of its run.

    seeds: how many there should be. comparable: false where our records cannot hold that number.
    allowed: how far from it ours may be; none: the tolerance of an mAP.
    """
    if not records:
        return "failed" if failed else NOT_RUN
    if not comparable or reported is None:
        return "not-comparable"
    if len(records) < seeds or any(record_shortfalls(record) for record in records):
        return "partial"

    values = metric_values(records, metric)
    if None in values:
        return "failed"

    delta = statistics.fmean(values) - reported
    if allowed is None:
        allowed = tolerance(values, standard_error(records), reported_std)
    # Against an error of the last bit, as `studies.reported.same_number` allows for it.
    if abs(delta) <= allowed + ROUNDING:
        return "reproduced"
    return "exceeds" if delta > 0 else "below"


# ---- Runs beside each other --------------------------------------------------------------------


def ranked(records: Records) -> Records:
    """Highest mAP first; runs without one last; ties by run id."""

    def order(run: str) -> tuple:
        mAP = mean_map(records[run])
        return (mAP is None, -(mAP or 0.0), run)

    return {run: records[run] for run in sorted(records, key=order)}


def best_of_regime(runs: Records) -> dict[str, str]:
    """The first ranked run with an mAP, for each labels regime that has one."""
    best = {}
    for regime in REGIMES:
        for run, records in runs.items():
            if records[0].run.labels == regime and mean_map(records) is not None:
                best[regime] = run
                break
    return best
