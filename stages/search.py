"""Trains the linear mode's grid on extracted features, and keeps what was best on validation.

One grid point for each loss and seed has a record; the others are in grid.csv alone.
"""

from mlrepro.environments import write_environment
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.layout import Layout, read_layout
from mlrepro.records import write_record
from mlrepro.stage import main
from mlrepro.training.checkpoint import exclusive, remove_held
from mlrepro.training.grid.data import Grid, read_grid
from mlrepro.training.grid.fingerprint import fingerprint
from mlrepro.training.grid.outcome import select
from mlrepro.training.grid.search import search
from mlrepro.training.grid.write import outcome_environment, write_grid, write_outcome
from mlrepro.training.kept_outputs import KeptOutputs


def stage(settings: str) -> None:
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
    """They are no outputs of DVC, which so does not remove them."""
    for run_id, seeds in layout.searched.items():
        for seed in seeds:
            if not layout.record(run_id, seed).is_file():
                return False
    return True


def search_and_evaluate(layout: Layout, grid: Grid) -> None:
    first_run, _ = grid.members[0]
    print(
        f"search {layout.name}: {len(grid.members)} linear layers on {first_run.backbone} features,"
        f" {first_run.epochs} epochs, on {grid.data.device}"
    )
    outcomes = search(grid.members, grid.data)

    layout.search.mkdir(parents=True, exist_ok=True)
    write_grid(outcomes, layout.search / "grid.csv")

    for (run_id, seed), chosen in select(outcomes).items():
        out = layout.search / f"{run_id}-s{seed}"
        trained = out / "training"
        write_outcome(chosen, grid, trained)
        plan = EvaluationPlan.of(layout)
        trained_with = outcome_environment(chosen, grid)
        record, logits = evaluate_run(chosen.run, seed, layout.data, trained, plan, trained_with)
        write_logits(logits, out / "logits.safetensors")

        path = layout.record(run_id, seed)
        write_record(record, path)
        write_environment(record.environment, layout.search_environment(run_id, seed), path)
        print(
            f"{run_id}, seed {seed}: test mAP {record.selected.metrics['mAP']:.2f} with lr "
            f"{chosen.run.optimizer.lr:g}, batch size {chosen.run.batch_size}, epoch "
            f"{chosen.best.epoch} (validation {chosen.best.val_mAP:.2f})"
        )


main(stage, "params.yaml")
