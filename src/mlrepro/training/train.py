"""One run with one seed, from manifest, observed labels and features to the weights."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mlrepro import dvc
from mlrepro.code import training_code
from mlrepro.environments import Environment
from mlrepro.errors import InputError
from mlrepro.provenance import git_state
from mlrepro.records import LinearInit, TrainingFacts
from mlrepro.settings.run import Run
from mlrepro.threads import use_threads
from mlrepro.training.checkpoint import Checkpoint, exclusive, remove_held
from mlrepro.training.device import environment
from mlrepro.training.distributed import RANK, WORLD, from_main
from mlrepro.training.fit import fit
from mlrepro.training.job import TrainingJob, prepare
from mlrepro.training.memory import warn_of_little_memory
from mlrepro.training.observer import Observer
from mlrepro.training.splits import LabelledData, check_mean_ap, read_labelled, scored_rows
from mlrepro.training.state import Progress
from mlrepro.training.watch import WithRunner
from mlrepro.training.write import environment_file, write_training, write_training_environment


@dataclass
class FinishedStage:
    """A training, or the first or second of a run with `linear_init`. checkpoint: rank 0's."""

    job: TrainingJob
    progress: Progress
    checkpoint: Checkpoint | None


def train_run(
    run: Run,
    seed: int,
    data_folder: Path,
    out: Path,
    name: str,
    observer: Observer | None = None,
) -> Progress:
    """Trains, and writes weights, history and facts into `out`, its environment beside it.

    Killed at any moment and run again, it gives the same bits as an uninterrupted run, on the same
    machine and threads. name: of its checkpoints. Raises InputError for data that the run cannot
    be trained on, where another process trains it, and where the DVC that runs it is gone.
    """
    if run.zero_shot:
        raise InputError(
            f"{run.run_id}: is made of the labels' names, which the zero_shot stage does; name it "
            "in `zero_shot`"
        )
    if run.closed_form:
        raise InputError(
            f"{run.run_id}: has a closed form, which the search stage computes; name its penalties "
            "in `search.penalties`"
        )

    observer = WithRunner(observer or Observer(), dvc.runner_of(out))
    use_threads(run)
    data = read_labelled(data_folder, run.validation)
    check_mean_ap(run, data)
    if run.select_on_test and not len(data.rows["test"]):
        raise InputError(
            f"{data_folder}/manifest.parquet: no test rows; {run.run_id} cannot have "
            "`select_on_test`"
        )

    # Each process of a machine has a lock of its own.
    with exclusive(f"{name}.{RANK}" if RANK else name):
        if RANK == 0:
            remove_held()
        try:
            stages = _train_stages(run, seed, data, name, observer)
            if RANK == 0:
                _write(out, data, stages)
                # The second before the first, from which it can be trained again if the process is
                # killed here.
                for stage in reversed(stages):
                    stage.checkpoint.finish([out, environment_file(out)], name)
        except BaseException:
            observer.finish("FAILED")
            raise
    observer.finish()
    return stages[-1].progress


# ---- Stages ------------------------------------------------------------------------------------


def _train_stages(
    run: Run, seed: int, data: LabelledData, name: str, observer: WithRunner
) -> list[FinishedStage]:
    """One training, or with `linear_init` two."""
    torch_seed = seed
    if run.protocol == "released":
        # The authors' code does not seed torch. All processes must draw the same.
        torch_seed = from_main(_random_seed)

    if not run.linear_init:
        job = prepare(run, torch_seed, data)
        return [_train_stage(job, data, name, {"seed": seed}, observer)]

    linear_job = prepare(run.linear_stage(), torch_seed, data)
    # Its epochs are not the run's: who watches is told of the second alone.
    untold = WithRunner(Observer(), observer.runner)
    linear = _train_stage(linear_job, data, f"{name}-linear_init", {"seed": seed}, untold)

    # The second goes on with the first's seed, which a resumed training has from its checkpoint.
    job = prepare(run, linear.progress.seed, data)
    _start_from(linear, job)
    linear_parts = linear.checkpoint.parts if linear.checkpoint else None
    parts = {"seed": seed, "linear_init": linear_parts}
    return [linear, _train_stage(job, data, name, parts, observer)]


def _random_seed() -> int:
    return secrets.randbits(32)


def _train_stage(
    job: TrainingJob, data: LabelledData, name: str, parts: dict, observer: Observer
) -> FinishedStage:
    """parts: of the checkpoint's fingerprint, beside those that every training has."""
    scored = ["val", "test"] if job.run.select_on_test else ["val"]
    job.rows = job.rows | {split: scored_rows(job.run, job.rows[split]) for split in scored}
    warn_of_little_memory(job)

    checkpoint = None
    if RANK == 0:
        checkpoint = Checkpoint(name, parts | _fingerprint(job, data))
    progress = fit(job, checkpoint, observer)
    return FinishedStage(job, progress, checkpoint)


def _start_from(linear: FinishedStage, job: TrainingJob) -> None:
    """Puts the best linear layer into the network, and its label estimates into ROLE's loss."""
    best = linear.progress.best
    job.task.model.head.fc.load_state_dict(best["weights"])
    if job.run.loss.name == linear.job.run.loss.name == "role":
        estimates = torch.sigmoid(best["loss"]["logits"].to(job.device))
        job.loss.restart(estimates)


def _fingerprint(job: TrainingJob, data: LabelledData) -> dict:
    """Everything that determines what a training gives. A message names the parts that changed."""
    task = job.task
    code = training_code(job.run)
    del code["settings"]  # they are a part of their own
    return {
        "settings": job.run.model_dump(mode="json"),
        "manifest": data.manifest.digest,
        "labels": _sha256(job.targets.cpu().numpy()),
        "features": task.features_header,
        "pretrained": task.origin[1],
        "graph": [_sha256(value) for value in task.graph.values()],
        "captions": task.captions,
        "shards": data.manifest.summary.get("shards", {}).get("sha256"),
        "code": code,
        "torch": torch.__version__,
        "processes": WORLD,
    }


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


# ---- Results -----------------------------------------------------------------------------------


def _write(out: Path, data: LabelledData, stages: list[FinishedStage]) -> None:
    final = stages[-1]
    weights = {
        "best": final.progress.best["weights"],
        "last": final.job.task.model.state_dict(),
    }
    if final.progress.on_test:
        weights["on_test"] = final.progress.on_test["weights"]
    write_training(out, _facts(data, stages), weights, final.progress.history)
    write_training_environment(_environment(data, stages), out)


def _facts(data: LabelledData, stages: list[FinishedStage]) -> TrainingFacts:
    job = stages[-1].job
    progress = stages[-1].progress
    last = progress.history[-1]
    epochs = {"best": progress.best["epoch"], "last": last["epoch"]}
    kinds = {
        "best": progress.best["kind"],
        "last": "ema" if "val_mAP_ema" in last else "plain",
    }
    if progress.on_test:
        epochs["on_test"] = progress.on_test["epoch"]
        kinds["on_test"] = progress.on_test["kind"]

    linear_init = None
    if job.run.linear_init:
        best = stages[0].progress.best
        linear_init = LinearInit(epoch=best["epoch"], val_mAP=best["val_mAP"])

    code = json.dumps(training_code(job.run)).encode()
    return TrainingFacts(
        epochs=epochs,
        weights=kinds,
        settings_sha256=job.run.digest,
        manifest_sha256=data.manifest.digest,
        pretrained=job.task.origin[0],
        pretrained_sha256=job.task.origin[1],
        torch_seed=progress.seed,
        captions_sha256=job.task.captions.get("sha256"),
        code_sha256=hashlib.sha256(code).hexdigest(),
        linear_init=linear_init,
    )


def _environment(data: LabelledData, stages: list[FinishedStage]) -> Environment:
    """What it took is that of both stages."""
    final = stages[-1]
    epochs = sum(len(stage.progress.history) for stage in stages)
    seconds = sum(stage.progress.seconds for stage in stages)
    pictures = len(data.rows["train"]) * epochs

    commit, dirty = git_state()
    used = environment(seconds, pictures, final.job.run.precision)
    return used.model_copy(update={"commit": commit, "dirty": dirty})
