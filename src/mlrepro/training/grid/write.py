"""The files of a search: the whole grid as a table, and what the train stage writes of a run."""

from pathlib import Path

from mlrepro.environments import Environment
from mlrepro.provenance import git_state
from mlrepro.records import TrainingFacts
from mlrepro.training.device import environment
from mlrepro.training.grid.data import Grid, GridPart
from mlrepro.training.grid.outcome import SELECTIONS, Outcome
from mlrepro.training.write import write_rows, write_training


def write_grid(outcomes: list[Outcome], path: Path) -> None:
    """grid.csv: a row a member."""
    write_rows([_grid_row(outcome) for outcome in outcomes], path)


def _grid_row(outcome: Outcome) -> dict:
    best = outcome.best
    return {
        "run": outcome.run.run_id,
        "seed": outcome.seed,
        "batch_size": outcome.run.batch_size,
        "lr": outcome.run.optimizer.lr if outcome.run.optimizer else None,
        "penalty": getattr(outcome.run.loss, "penalty", None),
        "best_epoch": best.epoch if best else None,
        "val_mAP": best.val_mAP if best else None,
        "test_mAP_best": outcome.test_mAP.get("best"),
        "test_mAP_last": outcome.test_mAP.get("last"),
        "diverged_epoch": outcome.diverged,
    }


def write_outcome(outcome: Outcome, grid: Grid, part: GridPart, out: Path) -> None:
    """What the train stage writes: both weights, history.csv and training.json.

    part: whose features the outcome's member read.
    """
    weights = {selection: outcome.weights(selection) for selection in SELECTIONS}
    write_training(out, _facts(outcome, grid, part), weights, outcome.history)


def _facts(outcome: Outcome, grid: Grid, part: GridPart) -> TrainingFacts:
    return TrainingFacts(
        epochs={"best": outcome.best.epoch, "last": outcome.history[-1]["epoch"]},
        weights=dict.fromkeys(SELECTIONS, "plain"),
        settings_sha256=outcome.run.digest,
        manifest_sha256=grid.manifest.digest,
        pretrained=part.header["weights"],
        pretrained_sha256=part.header["weights_sha256"],
        torch_seed=outcome.seed,
    )


def outcome_environment(outcome: Outcome, grid: Grid) -> Environment:
    """train_seconds are those of all members trained together, divided by their number."""
    commit, dirty = git_state()
    pictures = len(grid.rows["train"]) * len(outcome.history)

    # The search computes in float32 on a GPU, too.
    used = environment(outcome.seconds, pictures, precision="float32")
    return used.model_copy(update={"commit": commit, "dirty": dirty})
