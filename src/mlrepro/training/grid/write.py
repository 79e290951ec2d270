"""The files of a search: the whole grid as a table, and what the train stage writes of a run."""

import csv
import json
from pathlib import Path

from safetensors.torch import save_file

from mlrepro.provenance import git_state
from mlrepro.training.grid.data import Grid
from mlrepro.training.grid.outcome import SELECTIONS, Outcome
from mlrepro.training.run import environment


def write_grid(outcomes: list[Outcome], path: Path) -> None:
    """grid.csv: a row a member."""
    _write_rows([_grid_row(outcome) for outcome in outcomes], path)


def _grid_row(outcome: Outcome) -> dict:
    best = outcome.best
    return {
        "run": outcome.run.run_id,
        "seed": outcome.seed,
        "batch_size": outcome.run.batch_size,
        "lr": outcome.run.optimizer.lr,
        "best_epoch": best.epoch if best else None,
        "val_mAP": best.val_mAP if best else None,
        "test_mAP_best": outcome.test_mAP.get("best"),
        "test_mAP_last": outcome.test_mAP.get("last"),
        "diverged_epoch": outcome.diverged,
    }


def write_outcome(outcome: Outcome, grid: Grid, out: Path) -> None:
    """What the train stage writes: both weights, history.csv and training.json.

    Its train_seconds are those of all members trained together, divided by their number.
    """
    out.mkdir(parents=True, exist_ok=True)
    for selection in SELECTIONS:
        weights = {
            name: value.contiguous().cpu() for name, value in outcome.weights(selection).items()
        }
        save_file(weights, out / f"{selection}.safetensors")

    _write_rows(outcome.history, out / "history.csv")

    # What evaluate_run reads, as train_run writes it.
    commit, dirty = git_state()
    pictures = len(grid.data.rows["train"]) * len(outcome.history)
    facts = {
        "epochs": {"best": outcome.best.epoch, "last": outcome.history[-1]["epoch"]},
        "commit": commit,
        "dirty": dirty,
        "settings_sha256": outcome.run.digest,
        "manifest_sha256": grid.manifest_digest,
        "pretrained": grid.header["weights"],
        "pretrained_sha256": grid.header["weights_sha256"],
        "mlflow_run_id": None,
        "torch_seed": outcome.seed,
        "environment": environment(outcome.seconds, pictures) | {"precision": "float32"},
    }
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _write_rows(rows: list[dict], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
