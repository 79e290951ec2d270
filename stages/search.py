"""Trains the linear mode's grid on extracted features, and keeps what was best on validation.

One grid point for each loss and seed has a record; the others are in grid.csv alone.
"""

from pathlib import Path

from mlrepro.environments import write_environment
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.layout import read_layout
from mlrepro.records import write_record
from mlrepro.stage import main
from mlrepro.training.grid.data import read_grid
from mlrepro.training.grid.outcome import select
from mlrepro.training.grid.search import search
from mlrepro.training.grid.write import outcome_environment, write_grid, write_outcome


def stage(settings: str) -> None:
    layout = read_layout(settings)
    grid = read_grid(layout)
    first_run, _ = grid.members[0]
    print(
        f"search {layout.name}: {len(grid.members)} linear layers on {first_run.backbone} features,"
        f" {first_run.epochs} epochs, on {grid.data.device}"
    )
    outcomes = search(grid.members, grid.data)

    folder = Path("outputs") / layout.study / layout.name / "search"
    folder.mkdir(parents=True, exist_ok=True)
    write_grid(outcomes, folder / "grid.csv")

    for (run_id, seed), chosen in select(outcomes).items():
        out = folder / f"{run_id}-s{seed}"
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
