"""One run with one seed: from manifest, observed labels and features to weights, history and what is needed to prove them."""

import csv
import hashlib
import json
import platform
import resource
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mlrepro.data.features import captions_path, features_path, read_captions, read_features
from mlrepro.data.graph import label_graph
from mlrepro.data.images import class_uniform_batches, shard_batches
from mlrepro.data.manifest import Labels, Manifest, load_observed, read_manifest
from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.losses.base import Loss
from mlrepro.models.checkpoints import load_network
from mlrepro.models.classifier import create_classifier
from mlrepro.models.heads import create_head
from mlrepro.provenance import git_state
from mlrepro.settings.run import Run
from mlrepro.tracking import Tracker
from mlrepro.training.checkpoint import Checkpoint, exclusive, training_code
from mlrepro.training.distributed import RANK, WORLD, from_main
from mlrepro.training.fit import Progress, fit, in_bfloat16, scored_rows
from mlrepro.training.inputs import FeatureInputs, PictureInputs

SELECTIONS = ("best", "last")
ON_TEST = "on_test."  # prefix, in best.safetensors, of the weights of `select_on_test`


@dataclass
class Task:
    """A network and what it is fed. `origin`: source and sha256 of the pretrained weights; `digest`: of features, if any;
    `graph`: words and A of its label graph, `captions`: the header of its captions' vectors, if any."""

    model: nn.Module
    inputs: FeatureInputs | PictureInputs
    origin: tuple[str, str | None]
    digest: str
    graph: dict[str, np.ndarray]
    captions: dict


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def create_task(run: Run, manifest: Manifest, data_folder: Path, weights: bool = True) -> Task:
    """Builds network and inputs. `weights`: load the pretrained ones (evaluation loads trained ones over them instead)."""
    where, classes = device(), len(manifest.classes)
    graph = label_graph(run.graph, manifest) if run.graph else {}
    vectors, captions = None, {}
    if run.captions:
        vectors, captions = read_captions(
            captions_path(data_folder, run.captions), manifest, run.captions
        )
    if run.inputs == "captions":
        model = create_head(run.head, captions["width"], classes, None)
        return Task(
            model.to(where),
            FeatureInputs(vectors, where),
            (captions["model"], captions["sha256"]),
            "",
            graph,
            captions,
        )
    if run.inputs != "images":
        maps = run.inputs == "maps"
        path = features_path(data_folder, run.backbone, run.resolution, maps)
        features, header = read_features(path, manifest, run.backbone, run.resolution, maps)
        features = torch.cat([features, vectors], 1) if run.captions else features
        model = create_head(
            run.head,
            features.shape[1],
            classes,
            tuple(features.shape[2:]),
            **run.head_options,
            **graph,
        )
        origin = header["weights"], header["weights_sha256"]
        return Task(
            model.to(where),
            FeatureInputs(features, where),
            origin,
            json.dumps(header),
            graph,
            captions,
        )
    built = run if weights else run.model_copy(update={"weights": "none"})
    model, origin = create_classifier(
        built, classes, **graph, **({"text_dim": captions["width"]} if captions else {})
    )
    if weights and run.checkpoint:
        sha256, note = load_network(model, Path(run.checkpoint), run.checkpoint_drop)
        origin = "; ".join(filter(None, (run.checkpoint, note))), sha256
    model = model.to(where, memory_format=torch.channels_last)
    return Task(
        model,
        PictureInputs(manifest, run, model.backbone, where, vectors),
        origin,
        "",
        graph,
        captions,
    )


def train_targets(
    run: Run, manifest: Manifest, labels: Labels | np.ndarray, data_folder: Path
) -> tuple[np.ndarray, str]:
    """(train rows, K) int8 targets in manifest order, full labels or the observed ones, and a digest of them. For iun, all true
    negatives are observed ones too, or under the released protocol none is (see Run.protocol)."""
    rows = manifest.rows("train")
    targets = labels[rows]
    if run.labels == "single":
        observed_rows, observed = load_observed(
            data_folder, "iu" if run.loss.name == "iu" else "observed"
        )
        place = np.full(len(manifest.frame), -1)
        place[observed_rows] = np.arange(len(observed_rows))
        targets = observed[place[rows]]
        targets[place[rows] < 0] = 2  # a value that create_loss refuses
    if run.loss.name == "iun":
        true_negative = (targets == 0) & (labels[rows] == 0)
        targets = (
            np.maximum(targets, 0)
            if run.protocol == "released"
            else np.where(true_negative, np.int8(-1), targets)
        )
    return targets, hashlib.sha256(np.ascontiguousarray(targets)).hexdigest()


def expected_positives(run: Run, labels: Labels, val_rows: np.ndarray) -> float | None:
    """EPR's and ROLE's k: as the run says, or the mean number of labels of the validation pictures."""
    value = getattr(run.loss, "expected_positives", None)
    return float((labels[val_rows] > 0).sum(1).mean()) if value == "validation" else value


@dataclass
class Labelled:
    """A data set with what a run reads of it: rows of train, val and test, full labels of any rows."""

    manifest: Manifest
    folder: Path
    rows: dict[str, np.ndarray]
    labels: Labels


def read_labelled(data_folder: Path, validation: str = "val") -> Labelled:
    """validation: the split that stands for val (see Run.validation)."""
    manifest = read_manifest(data_folder)
    rows = {
        "train": manifest.rows("train"),
        "val": manifest.rows(validation),
        "test": manifest.rows("test"),
    }
    if not len(rows["val"]):
        raise InputError(
            f"{data_folder}/manifest.parquet: no validation rows; set hold_out in the data set's settings"
        )
    return Labelled(manifest, data_folder, rows, Labels(manifest))


def train_run(
    run: Run, seed: int, data_folder: Path, out: Path, name: str, tracker: Tracker
) -> Progress:
    """Trains and writes best.safetensors, last.safetensors, history.csv and training.json into `out`. Killed at any moment and
    run again, it gives the same bits as an uninterrupted run (on the same machine and threads)."""
    data = read_labelled(data_folder, run.validation)
    if run.select_on_test and not len(data.rows["test"]):
        raise InputError(
            f"{data_folder}/manifest.parquet: no test rows; {run.run_id} cannot have `select_on_test`"
        )
    drawn = from_main(lambda: secrets.randbits(32)) if run.protocol == "released" else seed
    with exclusive(f"{name}.{RANK}" if RANK else name):
        try:
            linear, parts = None, {"seed": seed}
            if run.linear_init:
                stage = run.linear_stage()
                _, linear, first = _train(
                    stage,
                    drawn,
                    data,
                    f"{name}-linear_init",
                    parts,
                    None,
                    lambda _: None,
                    lambda _: None,
                )
                drawn, parts = linear.seed, {**parts, "linear_init": first and first.parts}
            task, progress, checkpoint = _train(
                run, drawn, data, name, parts, linear, tracker.start, tracker.epoch
            )
        except BaseException:
            tracker.finish("FAILED")
            raise
        if RANK == 0:
            _write(out, task, progress, run, data.manifest, len(data.rows["train"]), linear)
            for done in [checkpoint] + ([first] if linear else []):
                done.delete()
    tracker.finish()
    return progress


def prepare(run: Run, seed: int, data: Labelled) -> tuple[Task, Loss, Tensor, str]:
    """Network, loss and targets before the first step, and a digest of the targets."""
    targets, origin = train_targets(run, data.manifest, data.labels, data.folder)
    torch.manual_seed(seed)
    task = create_task(run, data.manifest, data.folder)
    if run.sampler == "class_uniform":
        task.inputs.draw = partial(
            class_uniform_batches, positives=np.nonzero(targets > 0), classes=data.manifest.classes
        )
    if run.sampler == "shards":
        if not task.inputs.shards:
            raise InputError(
                f"{run.run_id}: `sampler: shards`, but {run.data} has none; set `shards` in the data set's settings"
            )
        task.inputs.draw = partial(
            shard_batches, shards=task.inputs.shards.shard[data.rows["train"]]
        )
    targets = torch.from_numpy(targets)
    k = expected_positives(run, data.labels, data.rows["val"])
    loss = create_loss(run.loss, targets, k, torch.Generator().manual_seed(seed), run.protocol).to(
        device()
    )
    return task, loss, targets.to(device()), origin


def _train(
    run: Run,
    seed: int,
    data: Labelled,
    name: str,
    parts: dict,
    linear: Progress | None,
    on_start: Callable,
    on_epoch: Callable,
) -> tuple[Task, Progress, Checkpoint | None]:
    """One training, or one stage of it; `linear`: the stage before, whose best weights and label estimates it starts from."""
    task, loss, targets, origin = prepare(run, seed, data)
    splits = ("val", "test") if run.select_on_test else ("val",)
    rows = data.rows | {split: scored_rows(run, data.rows[split]) for split in splits}
    if linear:
        task.model.head.fc.load_state_dict(linear.best["weights"])
        if run.loss.name == run.linear_init.loss.name == "role":
            loss.restart(torch.sigmoid(linear.best["loss"]["logits"].to(device())))
    parts = {
        "settings": run.model_dump(mode="json"),
        **parts,
        "manifest": data.manifest.digest,
        "labels": origin,
        "features": task.digest,
        "pretrained": task.origin[1],
        "graph": [hashlib.sha256(value.tobytes()).hexdigest() for value in task.graph.values()],
        "captions": task.captions,
        "shards": data.manifest.summary.get("shards", {}).get("sha256"),
        "code": training_code(),
        "torch": torch.__version__,
        "processes": WORLD,
    }
    checkpoint = None if RANK else Checkpoint(name, parts)
    progress = fit(
        run,
        seed,
        task.model,
        loss,
        task.inputs,
        targets,
        data.labels,
        rows,
        checkpoint,
        device(),
        on_start,
        on_epoch,
    )
    return task, progress, checkpoint


def _write(
    out: Path,
    task: Task,
    progress: Progress,
    run: Run,
    manifest: Manifest,
    pictures: int,
    linear: Progress | None,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    on_test = (
        {}
        if progress.on_test is None
        else {ON_TEST + key: value for key, value in progress.on_test["weights"].items()}
    )
    for selection, weights in zip(
        SELECTIONS, (progress.best["weights"] | on_test, task.model.state_dict()), strict=True
    ):
        save_file(
            {key: value.contiguous().cpu() for key, value in weights.items()},
            out / f"{selection}.safetensors",
        )
    with (out / "history.csv").open("w", newline="", encoding="utf-8") as file:
        columns = dict.fromkeys(
            key for entry in progress.history for key in entry
        )  # val_mAP_ema may come later
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(progress.history)
    commit, dirty = git_state()
    stages = [linear, progress] if linear else [progress]
    epochs = sum(len(stage.history) for stage in stages)
    last = {
        "epoch": progress.history[-1]["epoch"],
        "kind": "ema" if "val_mAP_ema" in progress.history[-1] else "plain",
    }
    chosen = {"best": progress.best, "last": last} | (
        {"on_test": progress.on_test} if on_test else {}
    )
    facts = {
        "epochs": {selection: choice["epoch"] for selection, choice in chosen.items()},
        "weights": {selection: choice["kind"] for selection, choice in chosen.items()},
        "commit": commit,
        "dirty": dirty,
        "settings_sha256": run.digest,
        "manifest_sha256": manifest.digest,
        "pretrained": task.origin[0],
        "pretrained_sha256": task.origin[1],
        "mlflow_run_id": progress.tracking_id,
        "torch_seed": progress.seed,
        "captions_sha256": task.captions.get("sha256"),
        # Evaluate stages read this file, and so run again after other code, even if it trains the same weights.
        "code_sha256": hashlib.sha256(json.dumps(training_code()).encode()).hexdigest(),
        "environment": environment(
            sum(stage.seconds for stage in stages), pictures * epochs, run.precision
        ),
    }
    if linear:
        facts["linear_init"] = {key: linear.best[key] for key in ("epoch", "val_mAP")}
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def load_selection(out: Path, selection: str) -> dict[str, Tensor]:
    """The weights `best`, `last` or `on_test` that `train_run` wrote into `out`."""
    state = load_file(out / ("last.safetensors" if selection == "last" else "best.safetensors"))
    prefix = ON_TEST if selection == "on_test" else ""
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(ON_TEST) == bool(prefix)
    }


def environment(seconds: float, pictures: int, precision: str = "auto") -> dict:
    cuda = torch.cuda.is_available()
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "torchvision", "timm", "numpy")},
        "device": f"{WORLD} x " * (WORLD > 1)
        + (torch.cuda.get_device_name() if cuda else f"CPU ({platform.machine()})"),
        "precision": "bfloat16" if in_bfloat16(precision, device()) else "float32",
        "threads": torch.get_num_threads(),
        "train_seconds": round(seconds, 2),
        "images_per_second": round(pictures / max(seconds, 1e-9), 1),
        "peak_memory_mib": round(peak, 1),
    }
