"""Own data: which training to use. The test pictures have no part in the choice.

A run is chosen by its mAP on pictures that it was not trained on: by cross-validation over the
training pictures where these are few, else on validation. The best is taken. Which cheaper runs
are within one standard error of it is said beside: the error is of the difference to the best, on
the same resamples of the pictures and over seeds. To take the cheapest of those (Breiman et al.
1984, section 3.4.3) loses mAP on test where the pictures are few (benchmarks/choice.py).
"""

from dataclasses import dataclass

import numpy as np

from mlrepro.judging import mean_map
from mlrepro.pairs import ONE_SEED, paired_difference, paired_seeds
from mlrepro.records import Choice, ChosenBy, Record, Records


@dataclass(frozen=True)
class Chosen:
    """A training, and why it.

    by:       what the runs were compared by, on so many pictures.
    maps:     by run id, the mean over seeds in percent, the best first.
    cheaper:  of the runs within one standard error of the best, that of fewest GMACs; none where
              the best itself takes as few.
    """

    record: Record
    by: ChosenBy
    pictures: int
    maps: dict[str, float]
    cheaper: Record | None

    @property
    def run_id(self) -> str:
        return self.record.run.run_id


def choose(runs: Records) -> Chosen | None:
    """The training to use: of the best run the seed that is best on validation.

    None where no run has an mAP, on test and by choice.
    """
    scored = {run: records for run, records in runs.items() if mean_map(records) is not None}
    by = chosen_by(scored)
    choices = {run: choices_of(records, by) for run, records in scored.items()}

    # A run that lacks an mAP for one seed cannot be compared with the others.
    maps = {}
    for run, of_run in choices.items():
        by_seed = [choice.mAP for choice in of_run]
        if by_seed and None not in by_seed:
            maps[run] = float(np.mean(by_seed))
    if not maps:
        return None

    maps = dict(sorted(maps.items(), key=lambda item: -item[1]))
    best = next(iter(maps))
    near = []
    for run, mAP in maps.items():
        error = standard_error_between(choices[best], choices[run])
        if maps[best] - mAP <= error:
            near.append(run)

    # Of equal ones the better, which comes first.
    cheapest = min(near, key=lambda run: _cost(runs[run]))
    is_cheaper = _cost(runs[cheapest]) < _cost(runs[best])
    return Chosen(
        record=max(runs[best], key=_best_validation_map),
        by=by,
        pictures=choices[best][0].pictures,
        maps=maps,
        cheaper=runs[cheapest][0] if is_cheaper else None,
    )


def _cost(records: list[Record]) -> float:
    """GMACs, rounded, so that a difference that no one can measure does not decide."""
    return round(records[0].cost.gmacs, 2)


def chosen_by(runs: Records) -> ChosenBy:
    """Cross-validation where every run has it: runs are compared on the same pictures."""
    for records in runs.values():
        if not any("cross_validation" in record.choices for record in records):
            return "validation"
    return "cross_validation"


def choices_of(records: list[Record], by: ChosenBy) -> list[Choice]:
    """One a seed that has it. Records of older versions have the validation mAP alone."""
    choices = [record.choices[by] for record in records if by in record.choices]
    if choices or by != "validation":
        return choices
    return [
        Choice(mAP=_best_validation_map(record), pictures=_validation_pictures(record))
        for record in records
        if record.history
    ]


def standard_error_between(first: list[Choice], second: list[Choice]) -> float:
    """Of the difference of two runs' means over seeds, in points; 0 where nothing tells it."""
    both = first + second
    numbers_of_pictures = {choice.pictures for choice in both}
    if None in [choice.resamples for choice in both] or len(numbers_of_pictures) != 1:
        return 0.0

    seeds = ONE_SEED
    if len(first) == len(second):
        differences = [a.mAP - b.mAP for a, b in zip(first, second, strict=True)]
        seeds = paired_seeds(differences)

    # The error alone is asked for, which no difference of the means changes.
    return paired_difference(0.0, _mean_maps(first), _mean_maps(second), seeds).error


def _mean_maps(choices: list[Choice]) -> np.ndarray:
    """(resamples,) the mAP of each resample of the pictures, the mean over seeds."""
    maps = np.array([choice.resamples for choice in choices], dtype=np.float64)
    return np.mean(maps, axis=0)


def _validation_pictures(record: Record) -> int:
    return record.splits["val"].used if "val" in record.splits else 0


def _best_validation_map(record: Record) -> float:
    return max(epoch.val_mAP for epoch in record.history)
