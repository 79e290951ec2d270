"""Trains one run with one seed.

Writes weights (best on validation, and last), history.csv and training.json; beside their folder
what varies by nature.
"""

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.memory import keep_freed_memory
from mlrepro.stage import main
from mlrepro.studies.runs import read_run
from mlrepro.tracking import open_tracker
from mlrepro.training.distributed import joined
from mlrepro.training.train import train_run


def stage(settings: str, run_id: str, seed: int) -> None:
    keep_freed_memory()
    layout = read_layout(settings)
    run = read_run(layout, run_id)
    if not run.epochs:
        raise InputError(
            f"{run_id}: has `epochs: 0`, nothing to train; its evaluate stage scores the "
            "checkpoint as it is"
        )

    read = f"extracted {run.inputs}"
    if run.inputs == "images":
        read = f"pictures at {run.resolution} px"
    print(
        f"train {run_id}, seed {seed}: {run.head} head, {run.loss.name} loss, {run.labels} labels, "
        f"{run.epochs} epochs on {read}"
    )

    tracker = open_tracker(layout, run, seed, "train")
    name = f"{layout.study}-{layout.name}-{run_id}-s{seed}"
    progress = train_run(run, seed, layout.data, layout.trained(run_id, seed), name, tracker)

    best = progress.best
    last = progress.history[-1]
    # With an average of the weights, that is what the run ends with.
    last_mAP = last.get("val_mAP_ema", last["val_mAP"])
    print(
        f"best validation mAP {best['val_mAP']:.2f} at epoch {best['epoch']} ({best['kind']} "
        f"weights), last {last_mAP:.2f}, {progress.seconds:.1f} s"
    )


# Under torchrun, its processes find each other first.
main(joined()(stage), "params.yaml", "run", "seed")
