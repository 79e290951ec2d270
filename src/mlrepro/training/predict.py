"""Scores of a network."""

import numpy as np
import torch
from torch import nn

from mlrepro.progress import progress_bar
from mlrepro.settings.run import Run
from mlrepro.training.distributed import RANK, WORLD, gather_arrays
from mlrepro.training.inputs import Inputs
from mlrepro.training.precision import autocast


@torch.no_grad()
def predict(
    model: nn.Module,
    inputs: Inputs,
    rows: np.ndarray,
    device: torch.device,
    show: str | None = None,
    augmented: tuple[int, int] | None = None,
    precision: str = "auto",
) -> np.ndarray:
    """float32 logits (len(rows), K) in the order of `rows`.

    show:      title of a progress bar; none: no bar.
    augmented: see Inputs.sequential.
    precision: of the run. Only `bfloat16` is followed: `auto` scores in float32 on a GPU too, for
               half precision makes ties.
    """
    model.eval()
    for module in model.modules():
        # Heads with a label graph compute its branch once, not for each batch.
        if hasattr(module, "precompute"):
            module.precompute()

    # Each process scores a stretch of the rows.
    own_rows = np.array_split(rows, WORLD)[RANK]
    batches = progress_bar(
        inputs.sequential(own_rows, augmented),
        desc=show,
        disable=show is None,
        unit="batch",
        leave=False,
    )
    own_logits = []
    with autocast(device, "float32" if precision == "auto" else precision):
        for batch, _ in batches:
            own_logits.append(model(batch).float().cpu().numpy())
    return np.concatenate(gather_arrays(own_logits))


def logit_scale(run: Run) -> float:
    """What the run's loss multiplies logits with before the sigmoid: AAM's scale, else 1."""
    return getattr(run.loss, "scale", 1.0)


def expected_labels(logits: np.ndarray) -> float:
    """The mean number of labels that logits (N, K) expect of a picture.

    That is the sum of its probabilities.
    """
    return torch.from_numpy(logits).double().sigmoid().sum(1).mean().item()
