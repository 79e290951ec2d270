"""The losses that a run file can name. All compute in float32 or float64, whatever the precision of the logits."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from mlrepro.config import LossSettings
from mlrepro.errors import InputError
from mlrepro.losses.asymmetric import asl
from mlrepro.losses.binary import bce, bce_ls
from mlrepro.losses.single_positive import RoleLoss, an, an_ls, epr, wan

# Name -> function of (logits, targets); its further arguments are the fields of the name's settings.
FUNCTIONS = {"bce": bce, "bce_ls": bce_ls, "an": an, "an_ls": an_ls, "wan": wan, "epr": epr, "asl": asl}


class BatchLoss(nn.Module):
    """A loss that needs the batch alone, not which training rows are in it."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, logits: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        return self.function(logits, targets)


def create_loss(settings: LossSettings, targets: Tensor, expected_positives: float | None,
                generator: torch.Generator) -> nn.Module:
    """The loss of a run, whose forward is (logits (B, C), targets (B, C), rows (B,)) -> scalar.

    targets (N, C): all training rows, full labels (bce, bce_ls, asl; -1 is ignored) or observed ones (the others; -1 is
    a known negative). rows: the batch's indices in them. expected_positives: labels a picture as measured on
    validation, read only where the settings say `validation`. generator: draws ROLE's first label estimates. ROLE's are
    the only parameters; the authors' code trains them at 10 times the classifier's learning rate.
    Raises ValueError for targets other than -1, 0, 1, InputError for an expected number of positives that cannot be.
    """
    _check_targets(targets)
    options = settings.model_dump(exclude={"name"})
    if "expected_positives" in options:
        given = options["expected_positives"]
        options["expected_positives"] = _check_count(expected_positives if given == "validation" else given,
                                                     targets.shape[1])
    if settings.name == "role":
        return RoleLoss(targets, options["expected_positives"], generator)
    return BatchLoss(partial(FUNCTIONS[settings.name], **options))


def _check_targets(targets: Tensor) -> None:
    wrong = targets[(targets != 1) & (targets != 0) & (targets != -1)]
    if len(wrong):
        raise ValueError(f"targets may be -1, 0 or 1; {len(wrong)} of {targets.numel()} entries are others, "
                         f"among them {wrong.unique()[:5].tolist()}")


def _check_count(count: float | None, classes: int) -> float:
    if count is None or not 0 < count <= classes:
        raise InputError(f"loss.expected_positives: {count} labels a picture with {classes} classes; give a number "
                         f"above 0 and up to {classes}, or `validation` with a labelled validation split")
    return count
