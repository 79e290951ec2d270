"""Scores trained weights on validation and test, and makes the result record."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mlrepro.data.graph import cooccurrence
from mlrepro.data.manifest import Labels, Manifest, read_manifest
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.metrics.arrays import ratio
from mlrepro.metrics.average_precision import (
    average_precisions,
    bootstrap_se,
    mean_average_precision,
)
from mlrepro.metrics.thresholded import thresholded_metrics, top_k_metrics
from mlrepro.metrics.thresholds import (
    tune_global_threshold,
    tune_thresholds,
    tune_thresholds_released,
)
from mlrepro.models.complexity import forward_speed, measure_cost
from mlrepro.provenance import git_state
from mlrepro.records import ClassResult, Counts, Environment, Epoch, Measurement, Provenance, Record
from mlrepro.settings.run import Run
from mlrepro.training.fit import expected_labels, predict, scored_rows
from mlrepro.training.run import (
    SELECTIONS,
    create_task,
    device,
    environment,
    load_selection,
    train_targets,
)

GROUPED = ("OP", "OR", "OF1", "CP", "CR", "CF1")
TUNERS = (
    ("tuned", tune_thresholds, False),
    ("tuned_released", tune_thresholds_released, True),  # the latter: score > threshold
    ("tuned_global", tune_global_threshold, False),
)
SAMPLES = ("sample_precision", "sample_recall", "sample_F1")  # what AAM's tables call CP, CR, CF1
F1_AVERAGES = ("micro_F1", "macro_F1", "sample_F1")


def evaluate_run(
    run: Run, seed: int, data_folder: Path, out: Path, study: str, data_set: str
) -> tuple[Record, dict]:
    """The record of a trained run, and the float32 logits of each selection by `<split>_<selection>`, those of the run's own
    selection also of pictures without labels (`unlabelled`), if any, and in own-data of train. Raises InputError if the weights
    in `out` were trained on another manifest, other captions' vectors or with other settings."""
    manifest = read_manifest(data_folder)
    facts = json.loads((out / "training.json").read_text())
    for key, now in (("manifest_sha256", manifest.digest), ("settings_sha256", run.digest)):
        if facts[key] != now:
            raise InputError(
                f"{out}: {key} is not that of the present data and run file; run its train stage again"
            )
    labels = Labels(manifest)
    task = create_task(run, manifest, data_folder, weights=False)
    if facts.get("captions_sha256") != task.captions.get("sha256"):
        raise InputError(
            f"{out}: was trained on captions' vectors of another text model; run its train stage again"
        )
    rows = {
        split: scored_rows(run, manifest.rows(split))
        for split in dict.fromkeys((run.validation, "test"))
    }
    history = read_history(out / "history.csv")
    more = ["unlabelled"] + ["train"] * (
        study == "own-data"
    )  # train: for the labels that its pictures may lack
    others = {split: found for split in more if len(found := manifest.rows(split))}
    logits, measurements = {}, {}
    observed, _ = train_targets(run, manifest, labels, data_folder)
    for selection, epoch in (
        facts["epochs"].items() if "val" in rows else [("last", facts["epochs"]["last"])]
    ):
        task.model.load_state_dict(load_selection(out, selection))
        for split, scored in (rows | (others if selection == run.selection else {})).items():
            show = f"{run.run_id} seed {seed}: {split} ({selection})"
            logits[f"{split}_{selection}"] = predict(
                task.model, task.inputs, scored, device(), show, precision=run.precision
            )
        trained = next(entry for entry in history if entry.epoch == epoch)
        measured = measure(
            run,
            manifest,
            labels,
            rows,
            observed,
            epoch,
            {split: logits[f"{split}_{selection}"] for split in rows},
        )
        kind = facts.get("weights", {}).get(
            selection, "plain"
        )  # the search stage has plain ones only
        measured.metrics.update({"train_loss": trained.train_loss, **trained.metrics})
        measurements[selection] = measured.model_copy(update={"weights": kind})
    provenance = {key: facts[key] for key in Provenance.model_fields if key in facts}
    weights = {
        selection: file_sha256(out / f"{selection}.safetensors")
        for selection in SELECTIONS
        if selection in measurements
    }
    network = (
        run.head,
        run.backbone,
        len(manifest.classes),
        run.resolution,
        tuple(run.head_options.items()),
        device(),
    )
    speed = (
        {"forward_per_second": forward_speed(*network)}
        if study == "own-data" and run.resolution
        else {}
    )
    record = Record(
        study=study,
        data_set=data_set,
        run=run,
        seed=seed,
        splits=split_counts(manifest, rows),
        measurements=measurements,
        history=history,
        provenance=Provenance(**provenance, weights_sha256=weights),
        environment=Environment(**facts["environment"], **speed),
        cost=measure_cost(run, len(manifest.classes), task.captions.get("width", 0), **task.graph),
    )
    return record, logits


def evaluate_checkpoint(
    run: Run, seed: int, data_folder: Path, out: Path, study: str, data_set: str
) -> tuple[Record, dict]:
    """The record of a checkpoint as it is (`epochs: 0`), and its float32 logits as `test_last`. Raises InputError for another
    network's checkpoint, and for another file than the fetch stage saw."""
    manifest, where = read_manifest(data_folder), device()
    labels, rows = Labels(manifest), {"test": scored_rows(run, manifest.rows("test"))}
    task = create_task(
        run.model_copy(update={"weights": "none"}), manifest, data_folder
    )  # the checkpoint has them all
    task.inputs.batch_size = run.batch_size
    if task.origin[1] != json.loads((out / "checkpoint.json").read_text())["sha256"]:
        raise InputError(
            f"{run.checkpoint}: is not the file that its fetch stage saw; run that stage again (dvc repro -f -s)"
        )
    start = time.perf_counter()
    logits = predict(
        task.model, task.inputs, rows["test"], where, f"{run.run_id}: test", precision=run.precision
    )
    precision = "float32" if run.precision == "auto" else run.precision  # as predict takes it
    facts = environment(time.perf_counter() - start, len(logits), precision) | {
        "train_seconds": 0.0
    }
    commit, dirty = git_state()
    provenance = Provenance(
        commit=commit,
        dirty=dirty,
        settings_sha256=run.digest,
        manifest_sha256=manifest.digest,
        weights_sha256={},
        pretrained=task.origin[0],
        pretrained_sha256=task.origin[1],
        mlflow_run_id=None,
    )
    return Record(
        study=study,
        data_set=data_set,
        run=run,
        seed=seed,
        splits=split_counts(manifest, rows),
        history=[],
        measurements={
            "last": measure(run, manifest, labels, rows, labels[:0], -1, {"test": logits})
        },
        provenance=provenance,
        environment=Environment(**facts),
        cost=measure_cost(run, len(manifest.classes)),
    ), {"test_last": logits}


def measure(
    run: Run,
    manifest: Manifest,
    labels: np.ndarray,
    rows: dict[str, np.ndarray],
    observed: np.ndarray,
    epoch: int,
    logits: dict[str, np.ndarray],
) -> Measurement:
    """All metrics of one selection on test, in percent. `_annotated`: of the pictures with a label alone, where there are others.

    Thresholds are tuned on validation, where there is one that is not the test: tuned_ is right, tuned_released_ is what AAM's
    code makes of it, tuned_global_ is one for all classes. _at_p: at probability p (004, Table 3).
    """
    scores, test = logits["test"], labels[rows["test"]]
    aps = average_precisions(scores, test)
    exact = aps["exact"]
    metrics = {
        name: mean_average_precision(aps[kind], run.empty_classes)
        for name, kind in (
            ("mAP", "exact"),
            ("mAP_interpolated", "interpolated"),
            ("mAP_11point", "11-point"),
        )
    }
    metrics["mAP_nonempty"] = mean_average_precision(exact, "skip")
    metrics |= thresholded_metrics(scores, test, 0.0)  # logit 0 is probability 0.5
    best = top_k_metrics(scores, test, min(3, test.shape[1]))
    metrics |= {f"top3_{key}": best[key] for key in GROUPED}
    for p in (0.1, 0.2, 0.3, 0.4, 0.5):
        found = thresholded_metrics(
            scores, test, np.log(p / (1 - p)) / getattr(run.loss, "scale", 1.0)
        )
        metrics |= {f"{key}_at_{p}": found[key] for key in F1_AVERAGES}
    for name, tune, strict in TUNERS * ("val" in logits):
        tuned = thresholded_metrics(scores, test, tune(logits["val"], labels[rows["val"]]), strict)
        metrics |= {
            f"{name}_{key}": tuned[key] for key in dict.fromkeys(GROUPED + SAMPLES + F1_AVERAGES)
        }
    if not (
        labelled := (test > 0).any(1)
    ).all():  # 000 and Cole et al. leave unlabelled pictures out, Query2Label does not
        aps = average_precisions(scores[labelled], test[labelled])
        for name, kind in (
            ("mAP_annotated", "exact"),
            ("mAP_interpolated_annotated", "interpolated"),
        ):
            metrics[name] = mean_average_precision(aps[kind], run.empty_classes)
    train = labels[manifest.rows("train")]
    together, positives = cooccurrence(train)
    np.fill_diagonal(together, positives)
    drawn = (
        len(train)
        * together
        @ ratio(np.ones(len(positives)), positives)
        / max(1, (positives > 0).sum())
    )  # class-uniform
    counts = {
        "train": positives,
        "observed": (observed > 0).sum(0),
        "test": (test > 0).sum(0),
        "balanced": drawn,
        "weight": ratio((train == 0).sum(0), positives) + (positives == 0),
        "confusion": np.stack(
            [((scores >= 0) == said) & (test == label) for label in (0, 1) for said in (0, 1)]
        )
        .sum(1)
        .T,
    }
    per_class = [
        ClassResult(
            name=name,
            AP=none_if_nan(exact[i]),
            **{key: value[i].tolist() for key, value in counts.items()},
        )
        for i, name in enumerate(manifest.classes)
    ]
    return Measurement(
        epoch=epoch,
        metrics={key: none_if_nan(value) for key, value in metrics.items()},
        mAP_se=bootstrap_se(scores, test, empty=run.empty_classes),
        predicted_positives=expected_labels(scores * getattr(run.loss, "scale", 1.0)),
        per_class=per_class,
    )


def none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def split_counts(manifest: Manifest, scored: dict[str, np.ndarray]) -> dict[str, Counts]:
    counts = {
        split: Counts(**{key: values[key] for key in Counts.model_fields})
        for split, values in manifest.summary["splits"].items()
    }
    return counts | {
        split: counts[split].model_copy(update={"used": len(rows)})
        for split, rows in scored.items()
    }


def read_history(path: Path) -> list[Epoch]:
    """An epoch a row; a column that is no field of Epoch is one of its metrics."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [
        Epoch.model_validate(
            {
                "metrics": {key: row.pop(key) for key in [*row] if key not in Epoch.model_fields},
                **row,
            }
        )
        for row in rows
    ]


def write_logits(logits: dict[str, np.ndarray], path: Path) -> None:
    save_file(
        {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in logits.items()}, path
    )
