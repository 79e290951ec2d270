"""Averaged weights."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` whose state moves by 1 - decay of the way to the model's at each update.

    Buffers move, too; there is no warm-up. The average of an integer buffer (batch norm's count) is
    truncated, as in the code of ASL, Query2Label and AAM.
    """
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    averaged.n_averaged.fill_(1)  # or the first update would be a copy
    return averaged
