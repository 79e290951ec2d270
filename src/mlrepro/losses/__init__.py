"""The losses that a run file can name: `catalogue` lists them, `create_loss` makes one.

All compute in float32 or float64, whatever the precision of the logits. This file imports no torch
and none of the losses before one is asked for: see `catalogue`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from mlrepro.losses.catalogue import LOSSES, PACKAGE

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mlrepro.losses.base import Loss
    from mlrepro.losses.grid_terms import GridTerms
    from mlrepro.settings.losses import LossSettings


def create_loss(
    settings: LossSettings,
    targets: Tensor,
    expected_positives: float | None,
    generator: torch.Generator,
    protocol: str = "corrected",
) -> Loss:
    """The loss of a run, whose forward is (logits (B, C), targets (B, C), rows (B,)) -> scalar.

    targets (N, C): all training rows. They are full labels for a loss that reads these (-1 is
    ignored), and observed ones for the others (-1 is a known negative; for iun every negative is
    known). rows: the batch's indices in them.
    expected_positives: labels a picture as measured on validation, read only where the settings say
    `validation`.
    generator: draws ROLE's first label estimates. ROLE's are the only parameters; the authors' code
    trains them at 10 times the classifier's learning rate.
    protocol: see Run.

    Raises ValueError for targets other than -1, 0, 1, InputError for an expected number of
    positives that cannot be and for iu without known negatives.
    """
    from mlrepro.losses.base import BatchLoss, LossContext, check_targets

    check_targets(targets)
    entry = LOSSES[settings.name]

    if entry.builder:
        context = LossContext(targets, expected_positives, generator, protocol)
        return _imported(entry.builder)(settings, context)

    fields = settings.model_dump(exclude={"name"})
    return BatchLoss(partial(_imported(entry.function), **fields))


def create_grid_terms(settings: LossSettings, classes: int) -> GridTerms | None:
    """What the grid search needs of a loss with `classes` classes; none without such a form."""
    from mlrepro.losses.grid_terms import label_states

    entry = LOSSES[settings.name]
    if entry.grid is None:
        return None
    return _imported(entry.grid)(settings, classes, label_states())


def _imported(reference: str) -> Callable:
    """What a `module:name` of the catalogue stands for."""
    module, _, name = reference.partition(":")
    return getattr(import_module(f"{PACKAGE}.{module}"), name)
