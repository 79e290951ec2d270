"""Computes ridge regressions and trains the linear mode's grid, on extracted features.

What was best on validation is kept: one grid point for each backbone, loss and seed has a record;
the others are in grid.csv alone.
"""

from pathlib import Path

from mlrepro.environments import write_environment
from mlrepro.evaluation.choice import ScoredPart, with_cross_validation
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.layout import Layout, read_layout
from mlrepro.memory import keep_freed_memory
from mlrepro.records import Record, keep_record, write_record
from mlrepro.stage import main
from mlrepro.studies.runs import reported_map
from mlrepro.tracking import open_tracker
from mlrepro.training.checkpoint import exclusive, remove_held
from mlrepro.training.grid.closed_form import solve
from mlrepro.training.grid.cross_validation import ENOUGH_PICTURES, cross_validate
from mlrepro.training.grid.data import Grid, GridData, GridPart, read_grid
from mlrepro.training.grid.fingerprint import fingerprint
from mlrepro.training.grid.outcome import Outcome, select
from mlrepro.training.grid.search import search
from mlrepro.training.grid.write import outcome_environment, write_grid, write_outcome
from mlrepro.training.kept_outputs import KeptOutputs


def stage(settings: str) -> None:
    keep_freed_memory()
    layout = read_layout(settings)
    grid = read_grid(layout)
    outputs = [layout.search, layout.search_environments]

    name = f"search-{layout.study}-{layout.name}"
    with exclusive(name):
        remove_held()
        kept = KeptOutputs(name, fingerprint(grid), outputs)
        if records_are_there(layout) and kept.put_back():
            return
        search_and_evaluate(layout, grid)
        kept.keep()


def records_are_there(layout: Layout) -> bool:
    """Whether each run of the search has its record.

    They are no outputs of DVC, which so neither removes them nor puts them back.
    """
    for run_id, seeds in layout.searched.items():
        for seed in seeds:
            if not layout.record(run_id, seed).is_file():
                return False
    return True


def search_and_evaluate(layout: Layout, grid: Grid) -> None:
    layout.search.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for part in grid.parts:
        closed = [(run, seed) for run, seed in part.members if run.closed_form]
        trained = [(run, seed) for run, seed in part.members if not run.closed_form]
        data = grid.read(part)

        # A ridge regression is there at once; the losses of the same features take their time.
        solved = solve(closed, data)
        write_chosen(layout, grid, part, data, solved)
        outcomes += solved

        if trained:
            first_run, _ = trained[0]
            print(
                f"search {layout.name}: {len(trained)} linear layers on {first_run.backbone} "
                f"features, {first_run.epochs} epochs"
            )
            searched = search(trained, data)
            write_chosen(layout, grid, part, data, searched)
            outcomes += searched
    write_grid(outcomes, layout.search / "grid.csv")


def write_chosen(
    layout: Layout, grid: Grid, part: GridPart, data: GridData, outcomes: list[Outcome]
) -> None:
    """Chooses the grid point of each run and seed; writes its training, logits and record."""
    plan = EvaluationPlan.of(layout)
    selected = select(outcomes)
    held_out = {}
    if plan.advises and len(data.rows["train"]) < ENOUGH_PICTURES:
        held_out = cross_validate(selected.values(), data)

    for (run_id, seed), chosen in selected.items():
        out = layout.search / f"{run_id}-s{seed}"
        trained = out / "training"
        write_outcome(chosen, grid, part, trained)
        trained_with = outcome_environment(chosen, grid)
        record, logits = evaluate_run(chosen.run, seed, layout.data, trained, plan, trained_with)
        write_logits(logits, out / "logits.safetensors")

        # Cross-validation trained the first seed alone: what it says is in that record.
        if run_id in held_out and seed == layout.searched[run_id][0]:
            record = with_cross_validation(
                record,
                ScoredPart(held_out[run_id], data.labels_of("train")),
                ScoredPart(logits[f"val_{chosen.run.selection}"], data.labels_of("val")),
            )

        path = layout.record(run_id, seed)
        write_record(record, path)
        keep_record(path, out / layout.kept_record(run_id, seed).name)
        write_environment(record.environment, layout.search_environment(run_id, seed), path)

        _track(layout, chosen, record, path)
        print(
            f"{run_id}, seed {seed}: test mAP {record.selected.metrics['mAP']:.2f} with "
            f"{_chosen_settings(chosen)} (validation {chosen.best.val_mAP:.2f})",
            flush=True,
        )


def _track(layout: Layout, chosen: Outcome, record: Record, path: Path) -> None:
    """One MLflow run, with the epochs of the grid point that was chosen."""
    run_id = chosen.run.run_id
    tracker = open_tracker(layout, chosen.run, chosen.seed, "search")
    tracker.start(session=None)
    for epoch in chosen.history:
        tracker.epoch(epoch)
    tracker.record(record, path, reported_map(layout, run_id))


def _chosen_settings(chosen: Outcome) -> str:
    run = chosen.run
    if run.closed_form:
        return f"penalty {run.loss.penalty:g}"
    return f"lr {run.optimizer.lr:g}, batch size {run.batch_size}, epoch {chosen.best.epoch}"


main(stage, "params.yaml")
