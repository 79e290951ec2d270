"""The losses that a run file can name. All compute in float32 or float64, whatever the precision of the logits."""

from functools import partial

import torch
from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.losses.angular_margin import aam
from mlrepro.losses.asymmetric import asl
from mlrepro.losses.base import BatchLoss, Loss
from mlrepro.losses.binary import WeightedBceLoss, bce, bce_ls
from mlrepro.losses.followups import GrLoss, LargeLoss, PseudoLabelLoss, SplcLoss, em, hill
from mlrepro.losses.single_positive import RoleLoss, an, an_ls, epr, iu, pr, wan
from mlrepro.settings.losses import LossSettings

# Name -> function of (logits, targets); its further arguments are the fields of the name's settings.
FUNCTIONS = {
    "bce": bce,
    "bce_ls": bce_ls,
    "an": an,
    "an_ls": an_ls,
    "wan": wan,
    "epr": epr,
    "asl": asl,
    "aam": aam,
    "iu": iu,
    "iun": iu,
    "pr": pr,
    "em": em,
    "hill": hill,
}


def create_loss(
    settings: LossSettings,
    targets: Tensor,
    expected_positives: float | None,
    generator: torch.Generator,
    protocol: str = "corrected",
) -> Loss:
    """The loss of a run, whose forward is (logits (B, C), targets (B, C), rows (B,)) -> scalar.

    targets (N, C): all training rows, full labels (bce, bce_ls, bce_weighted, asl, aam; -1 is ignored) or observed ones (the
    others; -1 is a known negative, and for iun every negative is known). rows: the batch's indices in them. expected_positives:
    labels a picture as measured on validation, read only where the settings say `validation`. generator: draws ROLE's first label
    estimates. ROLE's are the only parameters; the authors' code trains them at 10 times the classifier's learning rate. protocol:
    see Run. Raises ValueError for targets other than -1, 0, 1, InputError for an expected number of positives that cannot be and
    for iu without known negatives.
    """
    wrong = torch.cat(
        [part[(part != 1) & (part != 0) & (part != -1)] for part in targets.split(1 << 16)]
    )
    if len(wrong):
        raise ValueError(
            f"targets may be -1, 0 or 1; {len(wrong)} of {targets.numel()} entries are others, "
            f"among them {wrong.unique()[:5].tolist()}"
        )
    options = settings.model_dump(exclude={"name"})
    if "expected_positives" in options:
        count, classes = options["expected_positives"], targets.shape[1]
        options["expected_positives"] = count = (
            expected_positives if count == "validation" else count
        )
        if count is None or not 0 < count <= classes:
            raise InputError(
                f"loss.expected_positives: {count} labels a picture with {classes} classes; give a number "
                f"above 0 and up to {classes}, or `validation` with a labelled validation split"
            )
    if settings.name == "role":
        return RoleLoss(targets, options["expected_positives"], generator)
    if settings.name == "bce_weighted":
        return WeightedBceLoss(targets)
    if settings.name == "iu" and not (targets == -1).any():
        raise InputError(
            "loss iu: no training picture has a negative label to observe; use iun or an"
        )
    if settings.name == "em_apl":
        return PseudoLabelLoss(targets, **options)
    if settings.name in ("ll_r", "ll_ct", "ll_cp"):
        without_effect = (
            settings.name == "ll_cp" and settings.version == 2022 and protocol == "released"
        )
        return LargeLoss(
            "ll_ct" if without_effect else settings.name,
            targets,
            settings.delta_rel,
            settings.version == 2023,
        )
    if settings.name in ("gr", "splc"):
        return GrLoss(**options) if settings.name == "gr" else SplcLoss()
    return BatchLoss(partial(FUNCTIONS[settings.name], **options))
