"""Makes the optimiser and the learning-rate schedule of a run."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from mlrepro.settings.run import Run
from mlrepro.training.optimizers.catalogue import OPTIMIZERS, SCHEDULES
from mlrepro.training.optimizers.groups import parameter_groups
from mlrepro.training.references import resolve

# ROLE's label estimator learns ten times as fast as the classifier (Cole et al. 2021, released
# code).
LOSS_LR_FACTOR = 10


def create_optimizer(
    run: Run, model: nn.Module, loss: nn.Module, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimiser of the model's and the loss's parameters, and its schedule (none: constant).

    steps: of an epoch. A model without a `backbone` is a head. Frozen parameters are in no group;
    ROLE's estimates decay whatever `decay` says. When a schedule is to be stepped:
    catalogue.STEPWISE_SCHEDULES.
    """
    settings = run.optimizer
    lr = settings.lr
    if settings.lr_scaling == "batch_256":
        lr = settings.lr * run.batch_size / 256

    groups = parameter_groups(run, model, lr)
    # ROLE alone learns something itself.
    if parameters := list(loss.parameters()):
        groups.append({"params": parameters, "lr": lr * LOSS_LR_FACTOR})
    optimizer = resolve(OPTIMIZERS[settings.name])(groups, settings)

    if settings.schedule == "constant":
        return optimizer, None
    create_schedule = resolve(SCHEDULES[settings.schedule])
    # A training may be planned to stop before its schedule ends.
    epochs = settings.planned_epochs or run.epochs
    return optimizer, create_schedule(optimizer, settings, epochs, steps)
