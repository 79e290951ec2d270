"""One step of the optimiser."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training.distributed import gather
from mlrepro.training.optimizers.catalogue import SHARPNESS_AWARE
from mlrepro.training.precision import autocast
from mlrepro.training.references import resolve
from mlrepro.training.state import TrainingState


@dataclass
class Batch:
    """inputs: this process's share. targets (B, K), rows (B,): of the whole batch.

    rows: positions among the training rows.
    """

    inputs: Tensor | tuple[Tensor, Tensor]
    targets: Tensor
    rows: Tensor


def train_step(run: Run, state: TrainingState, batch: Batch, where: str) -> tuple[Tensor, Tensor]:
    """Returns the loss before the step, and the logits (B, K) that it is of.

    Raises InputError, with `where`, for a loss that is not finite.
    """
    passes: list[Tensor] = []  # the logits of each: sharpness-aware minimisation has two

    def backward() -> Tensor:
        with autocast(batch.targets.device, run.precision):
            logits = state.forward(batch.inputs)
        logits = gather(logits.float())
        value = state.loss(logits, batch.targets, batch.rows)
        if not torch.isfinite(value):
            raise InputError(
                f"{run.run_id}: the loss is {value.item()} at {where}; the checkpoint of the last "
                "finished epoch is kept. Lower optimizer.lr or look at the inputs, then run again"
            )

        passes.append(logits.detach())
        # Gradients are made anew in each pass, never added to those of the pass before.
        state.optimizer.zero_grad(set_to_none=True)
        value.backward()
        return value.detach()

    if run.optimizer.sam_rho:
        sharpness_aware = resolve(SHARPNESS_AWARE)
        value = sharpness_aware(backward, state.model, state.loss, run.optimizer.sam_rho)
    else:
        value = backward()

    if run.optimizer.clip_norm:
        nn.utils.clip_grad_norm_(state.model.parameters(), run.optimizer.clip_norm)
    state.optimizer.step()
    return value, passes[0]
