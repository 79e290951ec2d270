"""Scores trained weights, or a checkpoint as it is: the result record and its environment."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.environments import Environment, read_environment
from mlrepro.errors import InputError
from mlrepro.evaluation.measure import Truth, exported_metrics, measure, read_truth
from mlrepro.evaluation.score import score
from mlrepro.files import file_sha256
from mlrepro.layout import Layout
from mlrepro.models.complexity.parts import add_head, linear_cost
from mlrepro.provenance import git_state
from mlrepro.records import (
    Cost,
    Counts,
    Epoch,
    Measurement,
    Provenance,
    Record,
    TrainingFacts,
)
from mlrepro.settings.run import Run
from mlrepro.threads import use_threads
from mlrepro.training.device import device, environment
from mlrepro.training.predict import logit_scale
from mlrepro.training.read import load_selection, read_facts, read_history
from mlrepro.training.splits import scored_rows
from mlrepro.training.targets import read_targets
from mlrepro.training.task import Task, create_task
from mlrepro.training.write import environment_file

# By `<split>_<selection>`, float32.
Logits = dict[str, np.ndarray]

# Selections of weights that have a file of their own; `on_test` is kept in that of `best`.
OWN_FILES = ("best", "last")


@dataclass(frozen=True)
class EvaluationPlan:
    """Whose record it is, and what is measured beside what every record holds.

    data_set:       as the reader knows it.
    advises:        what a run may be chosen by, and how its scores are calibrated.
    scores_train:   the training pictures, too, for labels that they may lack.
    measures_speed: pictures a second of the whole network's forward pass.
    """

    study: str
    data_set: str
    advises: bool = False
    scores_train: bool = False
    measures_speed: bool = False

    @classmethod
    def of(cls, layout: Layout) -> "EvaluationPlan":
        """Pages of own data advise, and so need more than those of a study."""
        own_data = layout.own_data
        return cls(
            layout.study,
            layout.name,
            advises=own_data,
            scores_train=own_data,
            measures_speed=own_data,
        )


# ---- Trained runs ------------------------------------------------------------------------------


def evaluate_run(
    run: Run,
    seed: int,
    data_folder: Path,
    out: Path,
    plan: EvaluationPlan,
    trained_with: Environment | None = None,
) -> tuple[Record, Logits]:
    """The record of a trained run, and the logits of each selection.

    Pictures without labels (`unlabelled`), if any, are scored with the run's own selection alone,
    and so are those of train.

    out: what the training wrote. trained_with: none: as the training wrote it beside `out`.

    Raises InputError if it was trained on another manifest, other captions' vectors or with other
    settings.
    """
    use_threads(run)
    manifest = read_manifest(data_folder)
    facts = read_facts(out)
    _check_facts(facts, run, manifest, out)

    task = create_task(run, manifest, data_folder, weights=False)
    if facts.captions_sha256 != task.captions.get("sha256"):
        raise InputError(
            f"{out}: was trained on captions' vectors of another text model; run its train stage "
            "again"
        )

    splits = dict.fromkeys([run.validation, "test"])
    rows = {split: scored_rows(run, manifest.rows(split)) for split in splits}
    truth = read_truth(manifest, read_targets(run, manifest), rows)
    history = read_history(out / "history.csv")

    logits: Logits = {}
    measurements = {}
    for selection in _measured(facts, rows):
        task.model.load_state_dict(load_selection(out, selection))
        # What other stages read is scored once, with the weights that a page compares.
        read = dict(rows)
        if selection == run.selection:
            read |= _unmeasured_rows(manifest, plan)

        of_selection = {}
        for split, scored in read.items():
            title = f"{run.run_id} seed {seed}: {split} ({selection})"
            of_selection[split] = score(run, task, scored, title)
        measurements[selection] = _measure_selection(
            run, truth, of_selection, facts, history, selection
        )
        logits |= {f"{split}_{selection}": value for split, value in of_selection.items()}

    # Weights differ from machine to machine in their last bits: their digests are no part of the
    # record proper, which is the same on all.
    kept = [selection for selection in OWN_FILES if selection in measurements]
    weights = {selection: file_sha256(out / f"{selection}.safetensors") for selection in kept}
    trained_with = trained_with or read_environment(environment_file(out))
    used = trained_with.model_copy(update={"weights_sha256": weights})

    record = Record(
        study=plan.study,
        data_set=plan.data_set,
        run=run,
        seed=seed,
        splits=split_counts(manifest, rows),
        measurements=measurements,
        history=history,
        provenance=_provenance(facts),
        environment=_with_speed(used, run, manifest, plan),
        cost=_cost(run, manifest, task),
    )
    if plan.advises and "val" in rows:
        record = _with_advice(record, truth, logits)
    return record, logits


def _with_advice(record: Record, truth: Truth, logits: Logits) -> Record:
    """With what records of own data hold beside the others' content."""
    from mlrepro.evaluation.choice import calibration_of, choice_of  # here: they need SciPy

    run = record.run
    val = (logits[f"val_{run.selection}"], truth.scored["val"])
    test = (logits[f"test_{run.selection}"], truth.scored["test"])

    metrics = record.selected.metrics | exported_metrics(*test, *val)
    selected = record.selected.model_copy(update={"metrics": metrics})
    return record.model_copy(
        update={
            "measurements": record.measurements | {run.selection: selected},
            "choices": {"validation": choice_of(*val, run.empty_classes)},
            "calibration": calibration_of(val, test, logit_scale(run)),
        }
    )


def _check_facts(facts: TrainingFacts, run: Run, manifest: Manifest, out: Path) -> None:
    changed = None
    if facts.manifest_sha256 != manifest.digest:
        changed = "manifest_sha256"
    elif facts.settings_sha256 != run.digest:
        changed = "settings_sha256"
    if changed:
        raise InputError(
            f"{out}: {changed} is not that of the present data and run file; run its train stage "
            "again"
        )


def _measured(facts: TrainingFacts, rows: dict[str, np.ndarray]) -> list[str]:
    """Selections; without a validation split of its own there is nothing to select by."""
    return list(facts.epochs) if "val" in rows else ["last"]


def _unmeasured_rows(manifest: Manifest, plan: EvaluationPlan) -> dict[str, np.ndarray]:
    """Rows that are scored for other stages, by split."""
    splits = ["unlabelled", "train"] if plan.scores_train else ["unlabelled"]
    rows = {split: manifest.rows(split) for split in splits}
    return {split: of_split for split, of_split in rows.items() if len(of_split)}


def _measure_selection(
    run: Run,
    truth: Truth,
    logits: dict[str, np.ndarray],
    facts: TrainingFacts,
    history: list[Epoch],
    selection: str,
) -> Measurement:
    """logits: of the selection, by split."""
    epoch = facts.epochs[selection]
    scored = {split: logits[split] for split in truth.scored}
    measurement = measure(run, truth, scored, epoch)

    # A record's metrics are also those of the epoch that the weights are of.
    trained = next(entry for entry in history if entry.epoch == epoch)
    of_training = {"train_loss": trained.train_loss, **trained.metrics}
    changes = {
        "metrics": measurement.metrics | of_training,
        "weights": facts.weights[selection],
    }

    # Pages compare what the run selects, and nothing else.
    if selection != run.selection:
        changes["resamples"] = None
    return measurement.model_copy(update=changes)


def _provenance(facts: TrainingFacts) -> Provenance:
    return Provenance(
        settings_sha256=facts.settings_sha256,
        manifest_sha256=facts.manifest_sha256,
        pretrained=facts.pretrained,
        pretrained_sha256=facts.pretrained_sha256,
        captions_sha256=facts.captions_sha256,
        torch_seed=facts.torch_seed,
    )


def _with_speed(
    used: Environment, run: Run, manifest: Manifest, plan: EvaluationPlan
) -> Environment:
    """Where the plan asks for it, with the speed of the forward pass of a run that has pictures."""
    if not plan.measures_speed or not run.resolution:
        return used
    from mlrepro.models.complexity.speed import forward_speed  # here: it builds the backbone

    options = tuple(run.head_options.items())
    classes = len(manifest.classes)
    speed = forward_speed(run.head, run.backbone, classes, run.resolution, options, device())
    return used.model_copy(update={"forward_per_second": speed})


# ---- Checkpoints as they are -------------------------------------------------------------------


def evaluate_checkpoint(
    run: Run, seed: int, data_folder: Path, out: Path, plan: EvaluationPlan
) -> tuple[Record, Logits]:
    """The record of a checkpoint as it is (`epochs: 0`), and its logits as `test_last`.

    out: what the fetch stage wrote. Raises InputError for another network's checkpoint, and for
    another file than the fetch stage saw.
    """
    use_threads(run)
    manifest = read_manifest(data_folder)
    rows = {"test": scored_rows(run, manifest.rows("test"))}
    without_pretrained = run.model_copy(update={"weights": "none"})  # the checkpoint has them all
    task = create_task(without_pretrained, manifest, data_folder)

    fetched = json.loads((out / "checkpoint.json").read_text())
    if task.origin[1] != fetched["sha256"]:
        raise InputError(
            f"{run.checkpoint}: is not the file that its fetch stage saw; run that stage again "
            "(dvc repro -f -s)"
        )

    start = time.perf_counter()
    logits = score(run, task, rows["test"], f"{run.run_id}: test")
    seconds = time.perf_counter() - start

    nothing_observed = manifest.label_matrix(slice(0))
    truth = read_truth(manifest, nothing_observed, rows)
    record = Record(
        study=plan.study,
        data_set=plan.data_set,
        run=run,
        seed=seed,
        splits=split_counts(manifest, rows),
        measurements={"last": measure(run, truth, {"test": logits}, epoch=-1)},
        history=[],
        provenance=_checkpoint_provenance(run, manifest, task),
        environment=_scored_with(run, seconds, len(logits)),
        cost=_cost(run, manifest, task),
    )
    return record, {"test_last": logits}


def _checkpoint_provenance(run: Run, manifest: Manifest, task: Task) -> Provenance:
    return Provenance(
        settings_sha256=run.digest,
        manifest_sha256=manifest.digest,
        pretrained=task.origin[0],
        pretrained_sha256=task.origin[1],
    )


def _scored_with(run: Run, seconds: float, pictures: int) -> Environment:
    commit, dirty = git_state()
    precision = "float32" if run.precision == "auto" else run.precision  # as predict takes it
    used = environment(seconds, pictures, precision)
    return used.model_copy(update={"commit": commit, "dirty": dirty, "train_seconds": 0.0})


# ---- Both --------------------------------------------------------------------------------------


def _cost(run: Run, manifest: Manifest, task: Task) -> Cost:
    """Of the whole network, from the cost of the backbone where the features' file tells it."""
    classes = len(manifest.classes)
    text_dim = task.captions.get("width", 0)
    if run.inputs == "captions":
        return linear_cost(text_dim, classes)

    header = json.loads(task.features_header or "{}")
    if "cost" in header:
        return add_head(run, classes, header["cost"], text_dim, **task.graph)

    # Published features, those of earlier versions, and pictures: the network is built.
    from mlrepro.models.complexity.cost import measure_cost

    return measure_cost(run, classes, text_dim, **task.graph)


def split_counts(manifest: Manifest, scored: dict[str, np.ndarray]) -> dict[str, Counts]:
    """Pictures by split; those that are scored count as used. scored: rows by split."""
    counts = {}
    for split, values in manifest.summary["splits"].items():
        counts[split] = Counts(**{key: values[key] for key in Counts.model_fields})
    for split, rows in scored.items():
        counts[split] = counts[split].model_copy(update={"used": len(rows)})
    return counts
