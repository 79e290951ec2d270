"""Adam (Kingma & Ba 2015), and with decoupled weight decay (Loshchilov & Hutter 2019)."""

import torch

from mlrepro.settings.run import Optimizer
from mlrepro.training.optimizers.eager import eager


def create_adam(groups: list[dict], settings: Optimizer) -> torch.optim.Optimizer:
    return eager(torch.optim.Adam)(groups, weight_decay=settings.weight_decay)


def create_adamw(groups: list[dict], settings: Optimizer) -> torch.optim.Optimizer:
    return eager(torch.optim.AdamW)(groups, weight_decay=settings.weight_decay)
