"""What a training has reached, and what it trains: together all that a checkpoint keeps."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from mlrepro.losses.base import Loss
from mlrepro.training.checkpoint import Checkpoint
from mlrepro.training.distributed import from_main


@dataclass
class Progress:
    """What a training has reached.

    seed:    of batches and augmentation, from which the first weights came too.
    history: a row an epoch: epoch, lr, train_loss, val_mAP and what else the run measures.
    best:    epoch, val_mAP, kind of weights, weights, and loss (its state): see `better`.
    on_test: the same with test_mAP, where the run has `select_on_test`.
    """

    seed: int
    history: list[dict] = field(default_factory=list)
    best: dict | None = None
    on_test: dict | None = None
    seconds: float = 0.0
    tracking_id: str | None = None


@dataclass
class TrainingState:
    """What changes with every step. forward: the model's, in training."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    averaged: AveragedModel | None
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler | None

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer | LRScheduler]:
        """What there is of it that a checkpoint keeps."""
        parts = {
            "model": self.model,
            "averaged": self.averaged,
            "loss": self.loss,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }
        return {name: part for name, part in parts.items() if part is not None}


def save(checkpoint: Checkpoint, state: TrainingState, progress: Progress) -> None:
    saved = {
        "progress": vars(progress),
        # Dropout and DataLoader go on drawing where they were.
        "random": torch.get_rng_state(),
        "random_cuda": [],
    }
    if torch.cuda.is_available():
        saved["random_cuda"] = torch.cuda.get_rng_state_all()
    for name, part in state.parts().items():
        saved[name] = part.state_dict()
    checkpoint.save(saved)


def resume(checkpoint: Checkpoint | None, state: TrainingState) -> Progress | None:
    """Puts back what rank 0's checkpoint holds, in every process; none where it holds nothing."""
    saved = from_main(lambda: checkpoint.load() if checkpoint else None)
    if saved is None:
        return None

    for name, part in state.parts().items():
        part.load_state_dict(saved[name])
    torch.set_rng_state(saved["random"])
    if saved["random_cuda"]:
        torch.cuda.set_rng_state_all(saved["random_cuda"])

    progress = Progress(**saved["progress"])
    tqdm.write(f"resumed after epoch {progress.history[-1]['epoch']}")
    return progress


def better(best: dict | None, entry: dict, column: str, state: TrainingState) -> dict | None:
    """What to keep after the epoch `entry`: the first strict maximum of `column` over the epochs.

    Where there is an average, over both kinds of weights; the plain ones win a tie.
    """
    scores = {"plain": entry.get(column), "ema": entry.get(f"{column}_ema")}
    for kind, value in scores.items():
        if value is None:
            continue
        improves = best is None or value > best[column]
        if not improves:  # also where it is no number
            continue

        # Copies: the training goes on changing what it has.
        model = state.model if kind == "plain" else state.averaged.module
        best = {
            "epoch": entry["epoch"],
            column: value,
            "kind": kind,
            "weights": copy.deepcopy(model.state_dict()),
            "loss": copy.deepcopy(state.loss.state_dict()),
        }
    return best
