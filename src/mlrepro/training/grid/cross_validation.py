"""Scores of training pictures by layers that did not see them.

Few validation pictures say little of which run is best. Five layers, each trained on four fifths of
the training pictures with what was chosen on validation, score all of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from torch.nn.functional import linear

from mlrepro.training.grid.closed_form import solve
from mlrepro.training.grid.data import GridData
from mlrepro.training.grid.outcome import Outcome
from mlrepro.training.grid.search import search

Scale = Callable[[np.ndarray, np.ndarray], np.ndarray]

FOLDS = 5
SEED = 1200  # that of Cole et al.'s splits; any other would do

# With as many training pictures, validation is left to decide.
ENOUGH_PICTURES = 2000


def standardised(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Logits (N, C) in standard deviations above the mean of `reference` (n, C), by class."""
    deviation = reference.std(axis=0)
    return (logits - reference.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def cross_validate(
    chosen: Iterable[Outcome], data: GridData, scale: Scale = standardised
) -> dict[str, np.ndarray]:
    """Scores (train rows, C) float32 by run id, of the first outcome of each run.

    A run is trained as long as it was until the epoch that was best on validation. One that
    diverges in a fold is left out.

    The layers of two folds differ in height and scale: where a fold holds out many positives of a
    class, fewer are left to train on, and all its logits are lower. So a fold's logits are those
    `standardised` by what its layers say of the validation pictures, which none of them has seen;
    scale: instead of that, given both.
    """
    first: dict[str, Outcome] = {}
    for outcome in chosen:
        first.setdefault(outcome.run.run_id, outcome)

    train = data.row_tensor("train")
    val = data.row_tensor("val")
    not_scored = np.full((len(train), data.classes), np.nan, np.float32)
    scores = {run_id: not_scored.copy() for run_id in first}

    for held_out in folds(len(train)):
        outcomes = _train_without(held_out, list(first.values()), data)
        for run_id, outcome in outcomes.items():
            if outcome.last is None or outcome.diverged is not None:
                continue
            unseen = linear(data.features[train[held_out]], **outcome.last).cpu().numpy()
            reference = linear(data.features[val], **outcome.last).cpu().numpy()
            scores[run_id][held_out] = scale(unseen, reference)

    return {run_id: of_run for run_id, of_run in scores.items() if not np.isnan(of_run).any()}


def folds(rows: int) -> list[np.ndarray]:
    """Positions of the rows that each fold holds out."""
    order = np.random.default_rng(SEED).permutation(rows)
    return [np.sort(part) for part in np.array_split(order, FOLDS)]


def _train_without(
    held_out: np.ndarray, chosen: list[Outcome], data: GridData
) -> dict[str, Outcome]:
    """The runs trained on the other rows, by run id."""
    kept = np.setdiff1d(np.arange(len(data.rows["train"])), held_out)
    targets = {name: values[kept] for name, values in data.targets_by_labels.items()}
    rows = data.rows | {"train": data.rows["train"][kept]}
    part = replace(data, targets_by_labels=targets, rows=rows)

    closed = []
    trained = []
    for outcome in chosen:
        run = outcome.run
        if run.closed_form:
            closed.append((run, outcome.seed))
        else:
            epochs = outcome.best.epoch + 1  # they are counted from 0
            trained.append((run.model_copy(update={"epochs": epochs}), outcome.seed))

    outcomes = solve(closed, part)
    if trained:
        outcomes += search(trained, part)
    return {outcome.run.run_id: outcome for outcome in outcomes}
