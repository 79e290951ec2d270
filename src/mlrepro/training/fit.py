"""The optimiser loop, the same for heads on extracted features and for whole networks on pictures."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mlrepro.config import Run
from mlrepro.errors import InputError
from mlrepro.losses import Loss
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.training.checkpoint import Checkpoint
from mlrepro.training.inputs import FeatureInputs, PictureInputs
from mlrepro.training.optimizers import create_optimizer


@dataclass
class Progress:
    """What a training has reached: everything that a checkpoint keeps beside optimiser and random state."""

    seed: int  # of batches and augmentation, from which the first weights came too
    history: list[dict] = field(default_factory=list)  # an epoch each: epoch, lr, train_loss, val_mAP
    best: dict | None = None  # epoch, val_mAP, weights, loss (its state): the first strict maximum of the validation mAP
    seconds: float = 0.0
    tracking_id: str | None = None


def autocast(device: torch.device):
    """bfloat16 on a GPU, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


@torch.no_grad()
def predict(model: nn.Module, inputs: FeatureInputs | PictureInputs, rows: np.ndarray, device: torch.device,
            show: str | None = None, augmented: tuple[int, int] | None = None) -> np.ndarray:
    """float32 logits (len(rows), K) in the order of `rows`. augmented: see PictureInputs.sequential."""
    model.eval()
    for module in model.modules():
        if hasattr(module, "precompute"):
            module.precompute()
    batches = tqdm(inputs.sequential(rows, augmented), desc=show, disable=show is None, unit="batch", leave=False)
    return np.concatenate([model(batch).float().cpu().numpy() for batch, _ in batches])


def fit(run: Run, seed: int, model: nn.Module, loss: Loss, inputs: FeatureInputs | PictureInputs, targets: Tensor,
        labels: np.ndarray, rows: dict[str, np.ndarray], checkpoint: Checkpoint, device: torch.device,
        on_start: Callable[[str | None], str | None], on_epoch: Callable[[dict], None]) -> Progress:
    """Trains `model` in place to its last epoch and returns what it reached. A resumed training keeps its first seed.

    targets: (train rows, K) int8 that the loss reads; labels: (rows of the manifest, K) full labels for validation;
    rows: manifest rows of train and val. on_start gets the tracking id of a resumed training and gives the id to keep.
    Raises InputError at a loss that is not finite; the checkpoint of the last finished epoch stays.
    """
    steps = run.epochs * max(1, len(rows["train"]) // run.batch_size)
    optimizer, schedule = create_optimizer(run.optimizer, model, loss, steps)
    progress = _resume(checkpoint, model, loss, optimizer, schedule) or Progress(seed)
    seed = progress.seed
    progress.tracking_id = on_start(progress.tracking_id)
    position = torch.full((len(labels),), -1, dtype=torch.int64)
    position[torch.from_numpy(rows["train"])] = torch.arange(len(rows["train"]))
    first = len(progress.history)
    bar = tqdm(range(first, run.epochs), initial=first, total=run.epochs, desc=f"{run.run_id} seed {seed}", unit="epoch")
    for epoch in bar:
        if _stopped(run, progress):
            break
        start = time.perf_counter()
        lr = optimizer.param_groups[0]["lr"]
        batches = inputs.shuffled(rows["train"], run.batch_size, seed, epoch)
        loss.start_epoch(epoch, run.epochs)
        train_loss = _train_epoch(model, loss, batches, targets, position, optimizer, schedule, device, epoch, run)
        loss.end_epoch(lambda epoch=epoch: torch.from_numpy(
            predict(model, inputs, rows["train"], device, augmented=(seed, epoch))).to(device))
        scores = predict(model, inputs, rows["val"], device)
        val_mAP = mean_average_precision(average_precision(scores, labels[rows["val"]]), empty=run.empty_classes)
        entry = {"epoch": epoch, "lr": lr, "train_loss": train_loss, "val_mAP": val_mAP,
                 "val_positives": expected_labels(scores * getattr(run.loss, "scale", 1.0)),
                 **loss.diagnostics(labels[rows["train"]])}
        progress.history.append(entry)
        if progress.best is None or val_mAP > progress.best["val_mAP"]:
            progress.best = {"epoch": epoch, "val_mAP": val_mAP, "weights": copy.deepcopy(model.state_dict()),
                             "loss": copy.deepcopy(loss.state_dict())}
        progress.seconds += time.perf_counter() - start
        _save(checkpoint, progress, model, loss, optimizer, schedule)
        on_epoch(entry)
        bar.set_postfix(loss=f"{train_loss:.4f}", val_mAP=f"{val_mAP:.2f}")
    return progress


def scored_rows(run: Run, rows: np.ndarray) -> np.ndarray:
    """Those of a split's rows that the run's protocol scores. Raises InputError where that is none of them."""
    scored = rows[:run.scored(len(rows))]
    if len(rows) and not len(scored):
        raise InputError(f"{run.run_id}: a split has {len(rows)} pictures, less than a batch, and `protocol: released` scores "
                         f"whole batches only; lower batch_size ({run.batch_size}) or use `protocol: corrected`")
    return scored


def _stopped(run: Run, progress: Progress) -> bool:
    if run.stop_below is None or not progress.history:
        return False
    last, best = progress.history[-1], progress.best
    return last["epoch"] != best["epoch"] and last["val_mAP"] <= best["val_mAP"] - run.stop_below


def expected_labels(scores: np.ndarray) -> float:
    """The mean number of labels that logits (N, K) expect of a picture: the sum of its probabilities."""
    return torch.from_numpy(scores).double().sigmoid().sum(1).mean().item()


def _train_epoch(model, loss, batches, targets, position, optimizer, schedule, device, epoch, run) -> float:
    model.train()
    total = torch.zeros((), dtype=torch.float64, device=device)
    for step, (batch, manifest_rows) in enumerate(batches):
        train_rows = position[manifest_rows].to(device)
        with autocast(device):
            logits = model(batch)
        value = loss(logits.float(), targets[train_rows], train_rows)
        if not torch.isfinite(value):
            raise InputError(f"{run.run_id}: the loss is {value.item()} at epoch {epoch}, step {step}; the checkpoint of the "
                             "last finished epoch is kept. Lower optimizer.lr or look at the inputs, then run again")
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        total += value.detach()
    return (total / (step + 1)).item()


def _save(checkpoint: Checkpoint, progress: Progress, model, loss, optimizer, schedule) -> None:
    checkpoint.save({
        "progress": vars(progress), "model": model.state_dict(), "loss": loss.state_dict(),
        "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict() if schedule else None,
        "random": torch.get_rng_state(), "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    })


def _resume(checkpoint: Checkpoint, model, loss, optimizer, schedule) -> Progress | None:
    state = checkpoint.load()
    if state is None:
        return None
    model.load_state_dict(state["model"])
    loss.load_state_dict(state["loss"])
    optimizer.load_state_dict(state["optimizer"])
    if schedule:
        schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    progress = Progress(**state["progress"])
    tqdm.write(f"resumed after epoch {progress.history[-1]['epoch']}")
    return progress
