"""OneCycle (Smith & Topin 2019): the learning rate rises to a peak and falls, step by step."""

from torch.optim import Optimizer as TorchOptimizer
from torch.optim.lr_scheduler import OneCycleLR

from mlrepro.settings.run import Optimizer

# Share of the steps before the peak (ASL, ML-Decoder, Query2Label, AAM).
WARM_UP = 0.2


def create(optimizer: TorchOptimizer, settings: Optimizer, epochs: int, steps: int) -> OneCycleLR:
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=epochs * steps,
        pct_start=WARM_UP,
        div_factor=settings.div_factor,
        final_div_factor=settings.final_div_factor,
    )
