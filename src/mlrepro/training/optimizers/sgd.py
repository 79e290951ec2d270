"""Stochastic gradient descent with momentum."""

import torch

from mlrepro.settings.run import Optimizer
from mlrepro.training.optimizers.eager import eager


def create(groups: list[dict], settings: Optimizer) -> torch.optim.Optimizer:
    return eager(torch.optim.SGD)(
        groups, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
