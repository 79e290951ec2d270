"""Trains the linear mode's whole grid on extracted features, and keeps for each loss and seed what was best on validation.

The grid point is the first strict maximum of the best epochs' validation mAP, in the order batch size, then lr (Cole et al.
2021). A record's train_seconds are those of all members trained together, divided by their number; the others are not in it.
"""

from pathlib import Path

import torch

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.layout import read_layout
from mlrepro.provenance import git_state
from mlrepro.records import TrainingFacts, write_record
from mlrepro.settings.losses import Plain
from mlrepro.stage import main
from mlrepro.training.device import device, environment
from mlrepro.training.linear_search import Outcome, search
from mlrepro.training.targets import read_targets
from mlrepro.training.write import write_rows, write_training


def stage(settings: str) -> None:
    layout = read_layout(settings)
    if layout.pipeline.search is None or layout.pipeline.features is None:
        raise InputError(
            f"{settings}: the search stage needs `search` (at least its `losses`) and `features`"
        )
    members, manifest, chosen = (
        layout.pipeline.grid(),
        read_manifest(layout.data),
        layout.pipeline.features,
    )
    labels = manifest.label_matrix()
    features, header = read_features(
        features_path(layout.data, chosen.backbone, chosen.resolution),
        manifest,
        chosen.backbone,
        chosen.resolution,
    )
    rows = {split: manifest.rows(split) for split in ("train", "val", "test")}
    if not len(rows["val"]):
        raise InputError(
            f"{layout.data}/manifest.parquet: no validation rows; set hold_out in the data set's settings"
        )
    print(
        f"search {layout.name}: {len(members)} linear layers on {chosen.backbone} features, {members[0][0].epochs} epochs, "
        f"on {device()}"
    )
    targets = {"full": torch.from_numpy(labels[rows["train"]])}
    if single := [run for run, _ in members if run.labels == "single"]:
        for name, loss in (
            ("single", Plain(name="an")),
            ("iu", Plain(name="iu")),
        ):  # the search itself makes iun's targets
            run = single[0].model_copy(update={"loss": loss})
            targets[name] = torch.from_numpy(read_targets(run, manifest))
    outcomes = search(members, features.to(device()), targets, labels, rows)
    folder = Path("outputs") / layout.study / layout.name / "search"
    folder.mkdir(parents=True, exist_ok=True)
    write_grid(outcomes, folder / "grid.csv")
    for (run_id, seed), best in select(outcomes).items():
        out = folder / f"{run_id}-s{seed}"
        write_outcome(best, out / "training", manifest.digest, header, len(rows["train"]))
        record, logits = evaluate_run(
            best.run, seed, layout.data, out / "training", EvaluationPlan.of(layout)
        )
        write_logits(logits, out / "logits.safetensors")
        write_record(record, layout.record(run_id, seed))
        print(
            f"{run_id}, seed {seed}: test mAP {record.selected.metrics['mAP']:.2f} with lr {best.run.optimizer.lr:g}, batch "
            f"size {best.run.batch_size}, epoch {best.best['epoch']} (validation {best.best['val_mAP']:.2f})"
        )


def select(outcomes: list[Outcome]) -> dict[tuple[str, int], Outcome]:
    """By run id and seed. Raises InputError where every member of a loss and seed diverged."""
    best: dict[tuple[str, int], Outcome] = {}
    for outcome in outcomes:
        key = outcome.run.run_id, outcome.seed
        if outcome.diverged is None and (
            key not in best or outcome.best["val_mAP"] > best[key].best["val_mAP"]
        ):
            best[key] = outcome
    for outcome in outcomes:
        if (outcome.run.run_id, outcome.seed) not in best:
            raise InputError(
                f"{outcome.run.run_id} seed {outcome.seed}: no grid point has a finite loss; lower "
                "search.learning_rates, or look at the features"
            )
    return best


def write_outcome(
    outcome: Outcome, out: Path, manifest_digest: str, header: dict, pictures: int
) -> None:
    """What the train stage writes: weights, history.csv and training.json."""
    commit, dirty = git_state()
    facts = TrainingFacts(
        epochs={"best": outcome.best["epoch"], "last": outcome.history[-1]["epoch"]},
        weights={"best": "plain", "last": "plain"},
        commit=commit,
        dirty=dirty,
        settings_sha256=outcome.run.digest,
        manifest_sha256=manifest_digest,
        pretrained=header["weights"],
        pretrained_sha256=header["weights_sha256"],
        mlflow_run_id=None,
        torch_seed=outcome.seed,
        environment=environment(
            outcome.seconds, pictures * len(outcome.history), precision="float32"
        ),
    )
    weights = {selection: outcome.weights(selection) for selection in ("best", "last")}
    write_training(out, facts, weights, outcome.history)


def write_grid(outcomes: list[Outcome], path: Path) -> None:
    write_rows(
        [
            {
                "run": o.run.run_id,
                "seed": o.seed,
                "batch_size": o.run.batch_size,
                "lr": o.run.optimizer.lr,
                "best_epoch": o.best["epoch"] if o.best else None,
                "val_mAP": o.best["val_mAP"] if o.best else None,
                "test_mAP_best": o.test_mAP.get("best"),
                "test_mAP_last": o.test_mAP.get("last"),
                "diverged_epoch": o.diverged,
            }
            for o in outcomes
        ],
        path,
    )


main(stage, "params.yaml")
