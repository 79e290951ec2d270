"""Optimisers and learning-rate schedules."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from mlrepro.config import Optimizer

LOSS_LR_FACTOR = 10  # ROLE's label estimator learns ten times as fast as the classifier (Cole et al. 2021, released code)
WARM_UP = 0.2  # share of OneCycle's steps before its peak (ASL, ML-Decoder, Query2Label, AAM)


def create_optimizer(settings: Optimizer, model: nn.Module, loss: nn.Module,
                     steps: int) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimiser of the model's and the loss's parameters, and its schedule over `steps` (none: constant).

    A model without a `head` is one.
    """
    head = list(getattr(model, "head", model).parameters())
    ids = {id(p) for p in head}
    backbone = [p for p in model.parameters() if id(p) not in ids]
    groups = []
    for parameters, factor in ((backbone, 1.0), (head, settings.head_lr_factor), (loss.parameters(), LOSS_LR_FACTOR)):
        if trained := [p for p in parameters if p.requires_grad]:
            groups.append({"params": trained, "lr": settings.lr * factor})
    if settings.name == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
        optimizer = kind(groups, weight_decay=settings.weight_decay)
    if settings.schedule == "constant":
        return optimizer, None
    rates = [group["lr"] for group in groups]
    return optimizer, OneCycleLR(optimizer, max_lr=rates, total_steps=steps, pct_start=WARM_UP)
