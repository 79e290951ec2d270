"""The optimiser loop, the same for heads on extracted features and for whole networks on pictures."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from mlrepro.data.manifest import Labels
from mlrepro.errors import InputError
from mlrepro.losses.base import Loss
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.thresholded import thresholded_metrics
from mlrepro.settings.run import Run
from mlrepro.training.checkpoint import Checkpoint
from mlrepro.training.distributed import RANK, WORLD, data_parallel, from_main, gather
from mlrepro.training.early_stopping import stopped
from mlrepro.training.inputs import FeatureInputs, PictureInputs
from mlrepro.training.optimizers import create_optimizer, sharpness_aware


@dataclass
class Progress:
    """What a training has reached: everything that a checkpoint keeps beside optimiser and random state."""

    seed: int  # of batches and augmentation, from which the first weights came too
    history: list[dict] = field(
        default_factory=list
    )  # an epoch each: epoch, lr, train_loss, val_mAP
    best: dict | None = None  # epoch, val_mAP, kind, weights, loss (its state): see _better
    on_test: dict | None = None  # the same with test_mAP, where the run has select_on_test
    seconds: float = 0.0
    tracking_id: str | None = None


@dataclass
class Training:
    """Everything else that a checkpoint keeps, beside the random state: what has a state dict."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]  # the model's, in training
    averaged: AveragedModel | None
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler | None


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` whose state, buffers too, moves by 1 - decay of the way to the model's at each update; no warm-up. The
    average of an integer buffer (batch norm's count) is truncated, as in the code of ASL, Query2Label and AAM."""
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    averaged.n_averaged.fill_(1)  # or the first update would be a copy
    return averaged


def in_bfloat16(precision: str, device: torch.device) -> bool:
    return precision == "bfloat16" or precision == "auto" and device.type == "cuda"


def autocast(device: torch.device, precision: str = "auto"):
    """auto: bfloat16 on a GPU, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(precision, device))


@torch.no_grad()
def predict(
    model: nn.Module,
    inputs: FeatureInputs | PictureInputs,
    rows: np.ndarray,
    device: torch.device,
    show: str | None = None,
    augmented: tuple[int, int] | None = None,
    precision: str = "auto",
) -> np.ndarray:
    """float32 logits (len(rows), K) in the order of `rows`. augmented: see PictureInputs.sequential. precision: of the run. Only
    `bfloat16` is followed: `auto` scores in float32 on a GPU too, for half precision makes ties."""
    model.eval()
    for module in model.modules():
        if hasattr(module, "precompute"):
            module.precompute()
    own = inputs.sequential(np.array_split(rows, WORLD)[RANK], augmented)
    batches = tqdm(own, desc=show, disable=show is None, unit="batch", leave=False)
    with autocast(device, "float32" if precision == "auto" else precision):
        parts = [[model(batch).float().cpu().numpy() for batch, _ in batches]] * WORLD
    if WORLD > 1:
        torch.distributed.all_gather_object(parts, parts[0])
    return np.concatenate(sum(parts, []))


def fit(
    run: Run,
    seed: int,
    model: nn.Module,
    loss: Loss,
    inputs: FeatureInputs | PictureInputs,
    targets: Tensor,
    labels: Labels | np.ndarray,
    rows: dict[str, np.ndarray],
    checkpoint: Checkpoint | None,
    device: torch.device,
    on_start: Callable[[str | None], str | None],
    on_epoch: Callable[[dict], None],
) -> Progress:
    """Trains `model` in place to its last epoch and returns what it reached. A resumed training keeps its first seed.

    With `ema`, `model` has the averaged weights in the end, if the average has begun. targets: (train rows, K) int8 that the loss
    reads; labels: (rows of the manifest, K) full labels for validation; rows: manifest rows of train and val, and of test with
    `select_on_test`. on_start gets the tracking id of a resumed training and gives the id to keep. checkpoint: of rank 0, which
    all processes resume from. Raises InputError at a loss that is not finite; the checkpoint of the last finished epoch stays.
    """
    optimizer, schedule = create_optimizer(
        run, model, loss, max(1, len(rows["train"]) // run.batch_size)
    )
    training = Training(
        model,
        data_parallel(model),
        average_of(model, run.ema) if run.ema else None,
        loss,
        optimizer,
        schedule,
    )
    progress = _resume(checkpoint, training) or Progress(seed)
    seed = progress.seed
    progress.tracking_id = on_start(progress.tracking_id)
    position = torch.full((int(rows["train"].max()) + 1,), -1, dtype=torch.int64)
    position[torch.from_numpy(rows["train"])] = torch.arange(len(rows["train"]))
    first = len(progress.history)
    bar = tqdm(
        range(first, run.epochs),
        f"{run.run_id} seed {seed}",
        run.epochs,
        initial=first,
        unit="epoch",
        disable=RANK > 0,
    )
    for epoch in bar:
        if stopped(run, progress.history):
            break
        start = time.perf_counter()
        lr = optimizer.param_groups[0]["lr"]
        batches = inputs.shuffled(rows["train"], run.batch_size, seed, epoch)
        if WORLD > 1:  # each process draws its own dropout
            torch.manual_seed(int(np.random.default_rng([seed, epoch, RANK]).integers(2**32)))
        loss.start_epoch(epoch, run.epochs)
        train_loss, answers = _train_epoch(run, training, batches, targets, position, device, epoch)
        loss.end_epoch(
            lambda epoch=epoch: torch.from_numpy(
                predict(
                    model,
                    inputs,
                    rows["train"],
                    device,
                    augmented=(seed, epoch),
                    precision=run.precision,
                )
            ).to(device)
        )
        entry = {
            "epoch": epoch,
            "lr": lr,
            "train_loss": train_loss,
            **_scores(run, training, inputs, labels, rows, device, epoch, answers),
            **(loss.diagnostics(labels[rows["train"]]) if run.labels == "single" else {}),
        }  # full labels are the targets
        progress.history.append(entry)
        progress.best = _better(progress.best, entry, "val_mAP", training)
        if run.select_on_test:
            progress.on_test = _better(progress.on_test, entry, "test_mAP", training)
        progress.seconds += time.perf_counter() - start
        if RANK == 0:
            checkpoint.save(
                {
                    "progress": vars(progress),
                    "random": torch.get_rng_state(),
                    "random_cuda": torch.cuda.get_rng_state_all()
                    if torch.cuda.is_available()
                    else [],
                    **{
                        key: p.state_dict()
                        for key, p in vars(training).items()
                        if hasattr(p, "state_dict")
                    },
                }
            )
        on_epoch(entry)
        bar.set_postfix(loss=f"{train_loss:.4f}", val_mAP=f"{entry['val_mAP']:.2f}")
    if "val_mAP_ema" in progress.history[-1]:
        model.load_state_dict(training.averaged.module.state_dict())
    return progress


def scored_rows(run: Run, rows: np.ndarray) -> np.ndarray:
    """Those of a split's rows that the run's protocol scores. Raises InputError where that is none of them."""
    scored = rows[: run.scored(len(rows))]
    if len(rows) and not len(scored):
        raise InputError(
            f"{run.run_id}: a split has {len(rows)} pictures, less than a batch, and `protocol: released` scores "
            f"whole batches only; lower batch_size ({run.batch_size}) or use `protocol: corrected`"
        )
    return scored


def expected_labels(scores: np.ndarray) -> float:
    """The mean number of labels that logits (N, K) expect of a picture: the sum of its probabilities."""
    return torch.from_numpy(scores).double().sigmoid().sum(1).mean().item()


def _scores(
    run: Run, training: Training, inputs, labels, rows, device, epoch: int, answers: list
) -> dict[str, float]:
    """mAP in percent of each split and kind of weights that the run wants: val_mAP, val_mAP_ema, test_mAP, test_mAP_ema. And of
    the plain weights on val: val_positives, and what `epoch_metrics` asks for."""
    found, beside = {}, {}
    for split in ("val", "test") if run.select_on_test else ("val",):
        for model, suffix in ((training.model, ""), (training.averaged, "_ema")):
            if suffix and not (run.ema and epoch >= run.ema_start):
                continue
            # Reading pictures draws a number, but what is scored beside val_mAP must not change the training.
            with torch.random.fork_rng(devices=[], enabled=bool(found)):
                scores = predict(model, inputs, rows[split], device, precision=run.precision)
            if not found:
                beside = {
                    "val_positives": expected_labels(scores * getattr(run.loss, "scale", 1.0))
                }
                if run.epoch_metrics:
                    beside |= _epoch_metrics(
                        answers, scores, labels[rows["val"]], training.loss, device
                    )
            found[f"{split}_mAP{suffix}"] = mean_average_precision(
                average_precision(scores, labels[rows[split]]), empty=run.empty_classes
            )
    return found | beside


def _better(best: dict | None, entry: dict, column: str, training: Training) -> dict:
    """The first strict maximum of `column` over epochs and, where there is an average, both kinds; plain weights win a tie."""
    for kind, suffix in (("plain", ""), ("ema", "_ema")):
        value = entry.get(column + suffix)
        if value is not None and (best is None or value > best[column]):
            model = training.averaged.module if suffix else training.model
            best = {
                "epoch": entry["epoch"],
                column: value,
                "kind": kind,
                "weights": copy.deepcopy(model.state_dict()),
                "loss": copy.deepcopy(training.loss.state_dict()),
            }
    return best


def train_step(
    run: Run,
    training: Training,
    batch: Tensor,
    targets: Tensor,
    rows: Tensor,
    device: torch.device,
    where: str,
    answers: list | None = None,
) -> Tensor:
    """One step of the optimiser; returns the loss before it. Raises InputError, with `where`, if one is not finite. answers:
    takes the logits and targets of each pass."""

    def backward() -> Tensor:
        with autocast(device, run.precision):
            logits = training.forward(batch)
        logits = gather(logits.float())
        value = training.loss(logits, targets, rows)
        if not torch.isfinite(value):
            raise InputError(
                f"{run.run_id}: the loss is {value.item()} at {where}; the checkpoint of the "
                "last finished epoch is kept. Lower optimizer.lr or look at the inputs, then run again"
            )
        if answers is not None:
            answers.append((logits.detach(), targets))
        training.optimizer.zero_grad(set_to_none=True)
        value.backward()
        return value.detach()

    rho, clip = run.optimizer.sam_rho, run.optimizer.clip_norm
    value = sharpness_aware(backward, training.model, training.loss, rho) if rho else backward()
    if clip:
        nn.utils.clip_grad_norm_(training.model.parameters(), clip)
    training.optimizer.step()
    return value


def _train_epoch(
    run: Run, training: Training, batches, targets, position, device, epoch: int
) -> tuple[float, list]:
    """The mean loss, and for `epoch_metrics` each batch's logits and targets. In each step's order: optimiser, average, schedule
    (deep-object-reid's)."""
    model, each_step = training.model, run.optimizer.schedule == "one_cycle"
    model.train()
    if run.ema and epoch == run.ema_start:
        training.averaged.module.load_state_dict(model.state_dict())
    answers = [] if run.epoch_metrics else None
    total = torch.zeros((), dtype=torch.float64, device=device)
    for step, (batch, manifest_rows) in enumerate(batches):
        train_rows = gather(position[manifest_rows].to(device))
        total += train_step(
            run,
            training,
            batch,
            targets[train_rows],
            train_rows,
            device,
            f"epoch {epoch}, step {step}",
            answers,
        )
        for buffer in (
            model.buffers() if WORLD > 1 and device.type == "cpu" else ()
        ):  # batch norm's, not synchronised there
            torch.distributed.broadcast(buffer, 0)
        if run.ema and epoch >= run.ema_start:
            training.averaged.update_parameters(model)
        if training.schedule and each_step:
            training.schedule.step()
    if training.schedule and not each_step:
        training.schedule.step()
    return (total / (step + 1)).item(), answers[
        ::2
    ] if answers and run.optimizer.sam_rho else answers


def _epoch_metrics(answers, scores, labels, loss, device) -> dict[str, float]:
    """val_loss, and train_ and val_ metrics at probability 0.5 in percent. `answers`: logits and targets of each batch before
    its step, augmented, with dropout, a picture once a draw: so 003's loop counts them (slide 20)."""
    logits, targets = (torch.cat(part).cpu().numpy() for part in zip(*answers, strict=True))
    value = loss(
        torch.from_numpy(scores).to(device), torch.from_numpy(labels).to(device), None
    ).item()
    split_metrics = {
        "train": thresholded_metrics(logits, targets, 0.0),
        "val": thresholded_metrics(scores, labels, 0.0),
    }
    return {
        "val_loss": value,
        **{
            f"{split}_{key}": v
            for split, metrics in split_metrics.items()
            for key, v in metrics.items()
        },
    }


def _resume(checkpoint: Checkpoint | None, training: Training) -> Progress | None:
    state = from_main(lambda: checkpoint.load())
    if state is None:
        return None
    for name, part in vars(training).items():
        if hasattr(part, "state_dict"):
            part.load_state_dict(state[name])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    progress = Progress(**state["progress"])
    tqdm.write(f"resumed after epoch {progress.history[-1]['epoch']}")
    return progress
