"""Trains one run with one seed; writes weights (best on validation, and last), history.csv and training.json."""

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.stage import main
from mlrepro.tracking import open_tracker
from mlrepro.training.distributed import joined
from mlrepro.training.run import train_run


def stage(settings: str, run_id: str, seed: str) -> None:
    layout = read_layout(settings)
    run = layout.run(run_id)
    if not run.epochs:
        raise InputError(
            f"{run_id}: has `epochs: 0`, nothing to train; its evaluate stage scores the checkpoint as it is"
        )
    where = (
        f"extracted {run.inputs}" if run.inputs != "images" else f"pictures at {run.resolution} px"
    )
    print(
        f"train {run_id}, seed {seed}: {run.head} head, {run.loss.name} loss, {run.labels} labels, "
        f"{run.epochs} epochs on {where}"
    )
    tracker = open_tracker(layout, run, int(seed), "train")
    name = f"{layout.study}-{layout.name}-{run_id}-s{seed}"
    progress = train_run(
        run, int(seed), layout.data, layout.trained(run_id, int(seed)), name, tracker
    )
    best, last = progress.best, progress.history[-1]
    print(
        f"best validation mAP {best['val_mAP']:.2f} at epoch {best['epoch']} ({best['kind']} weights), "
        f"last {last.get('val_mAP_ema', last['val_mAP']):.2f}, {progress.seconds:.1f} s"
    )


main(joined()(stage), "params.yaml", "run", "seed")
