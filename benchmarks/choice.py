"""Which training of own data to take: five rules, by what each loses on pictures that it never saw.

    python benchmarks/choice.py studies/own-data/params.yaml --pictures 150 1000

In the repository where `init-data` was given the pictures and the stages up to `extract` have run;
several params.yaml are measured after each other. So many pictures are drawn anew for each seed;
four fifths are trained on, one fifth is validation. All others measure. The ridge regressions on
each backbone and the losses of the search, each with the settings that are best on validation, are
what there is to choose from, with one seed.

The rules: the mAP of validation; the same, and of the runs within a standard error the cheapest
(Breiman et al. 1984); the mAP of five-fold cross-validation, with the logits of all folds ranked
together as they are, or standardised by what a fold's layers say of the validation pictures; and
that of these and the validation pictures together, which is what own data is chosen by below 2,000
training pictures.

Lost is the mAP of the best run on the measured pictures minus that of the chosen one, in points,
the mean over seeds. `agrees` is the correlation over runs of what a rule ranks by with the mAP of
the measured pictures, the mean over seeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from common import parser, write
from torch.nn.functional import linear

from mlrepro.evaluation.choice import choice_of
from mlrepro.layout import read_layout
from mlrepro.records import Choice
from mlrepro.report.choose import standard_error_between
from mlrepro.training.grid.closed_form import solve
from mlrepro.training.grid.cross_validation import cross_validate, standardised
from mlrepro.training.grid.data import Grid, GridData, GridPart, read_grid
from mlrepro.training.grid.outcome import Outcome, select
from mlrepro.training.grid.search import search

# The share of the drawn pictures that is validation.
VALIDATION = 0.2

BY_VALIDATION = "validation"
CHEAPEST = "validation, the cheapest near"
TOGETHER = "folds, as they are"
STANDARDISED = "folds, standardised"
USED = "folds, standardised, and validation"


@dataclass(frozen=True)
class Candidate:
    """A run: what each rule ranks it by, and its mAP on the measured pictures."""

    ranked_by: dict[str, Choice]
    mAP: float
    operations: int


def candidates(grid: Grid, rows: dict[str, np.ndarray]) -> Iterator[Candidate]:
    """Of the grid's members, trained on other rows than the manifest's."""
    targets = {"full": torch.from_numpy(grid.labels[rows["train"]])}
    for part in grid.parts:
        data = replace(grid.read(part), targets_by_labels=targets, rows=rows)
        chosen = select(_trained(part, data))
        on_scale = cross_validate(chosen.values(), data)
        as_they_are = cross_validate(chosen.values(), data, scale=as_it_is)

        # All of a part have the same backbone, beside which a linear layer costs nothing.
        operations = sum(part.header["cost"]["operations"].values())
        for (run_id, _), outcome in chosen.items():
            ranked_by = _rules(outcome, on_scale[run_id], as_they_are[run_id], data)
            yield Candidate(ranked_by, outcome.test_mAP["best"], operations)


def _trained(part: GridPart, data: GridData) -> list[Outcome]:
    """The members of the part's first seed, on these rows."""
    _, first_seed = part.members[0]
    closed = []
    trained = []
    for run, seed in part.members:
        if seed != first_seed:
            continue
        if run.closed_form:
            closed.append((run, seed))
        else:
            trained.append((run, seed))

    outcomes = solve(closed, data)
    if trained:
        outcomes += search(trained, data)
    return outcomes


def as_it_is(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """In place of `standardised`."""
    return logits


def _rules(
    outcome: Outcome, on_scale: np.ndarray, as_they_are: np.ndarray, data: GridData
) -> dict[str, Choice]:
    """What each rule ranks a run by."""
    empty = outcome.run.empty_classes
    train = data.labels_of("train")
    val = data.labels_of("val")
    on_validation = _scores(outcome, "val", data)
    by_validation = choice_of(on_validation, val, empty)

    # On one scale, the pictures of the folds and those of validation are one set.
    logits = np.concatenate([on_scale, standardised(on_validation, on_validation)])
    labels = np.concatenate([train, val])
    return {
        BY_VALIDATION: by_validation,
        CHEAPEST: by_validation,
        TOGETHER: choice_of(as_they_are, train, empty),
        STANDARDISED: choice_of(on_scale, train, empty),
        USED: choice_of(logits, labels, empty),
    }


def _scores(outcome: Outcome, split: str, data: GridData) -> np.ndarray:
    layer = outcome.weights("best")
    return linear(data.features[data.row_tensor(split)], **layer).cpu().numpy()


def chosen_by(rule: str, found: list[Candidate]) -> Candidate:
    best = max(found, key=lambda candidate: candidate.ranked_by[rule].mAP)
    if rule != CHEAPEST:
        return best

    first = best.ranked_by[rule]
    near = []
    for candidate in found:
        choice = candidate.ranked_by[rule]
        if first.mAP - choice.mAP <= standard_error_between([first], [choice]):
            near.append(candidate)

    # Of equally cheap ones the better.
    def cost(candidate: Candidate) -> tuple[int, float]:
        return candidate.operations, -candidate.ranked_by[rule].mAP

    return min(near, key=cost)


def measure(grid: Grid, pictures: int, seeds: int) -> dict:
    """By rule, for each seed: the points that are lost, and how the rule agrees."""
    lost: dict[str, list[float]] = {}
    agrees: dict[str, list[float]] = {}
    for seed in range(seeds):
        found = list(candidates(grid, _drawn(len(grid.labels), pictures, seed)))
        maps = [candidate.mAP for candidate in found]

        for rule in found[0].ranked_by:
            ranked = [candidate.ranked_by[rule].mAP for candidate in found]
            loss = max(maps) - chosen_by(rule, found).mAP
            lost.setdefault(rule, []).append(loss)

            correlation = np.corrcoef(ranked, maps)[0, 1]
            agrees.setdefault(rule, []).append(float(correlation))
    return {"lost": lost, "agrees": agrees}


def _drawn(all_pictures: int, pictures: int, seed: int) -> dict[str, np.ndarray]:
    """Rows by split: so many pictures are train and val, the others test."""
    order = np.random.default_rng(seed).permutation(all_pictures)
    of_validation = int(VALIDATION * pictures)
    val, train, test = np.split(order, [of_validation, pictures])
    return {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}


def main() -> None:
    options = parser(__doc__, repeats=8)
    options.add_argument("settings", nargs="+", type=Path, help="params.yaml of own data")
    options.add_argument("--pictures", nargs="+", type=int, default=[150, 1000])
    given = options.parse_args()

    rows = []
    for settings in given.settings:
        grid = read_grid(read_layout(settings))
        for pictures in given.pictures:
            # Without as many to measure on, a row would say little.
            if 2 * pictures > len(grid.labels):
                continue
            first_run, _ = grid.members[0]
            row = {
                "data": f"{first_run.data}: {grid.labels.shape[1]} labels",
                "pictures": pictures,
                **measure(grid, pictures, given.repeats),
            }
            rows.append(row)
            print(row, flush=True)
    write("choice", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
