"""Optimisers and learning-rate schedules."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR

from mlrepro.config import Run

LOSS_LR_FACTOR = 10  # ROLE's label estimator learns ten times as fast as the classifier (Cole et al. 2021, released code)
WARM_UP = 0.2  # share of OneCycle's steps before its peak (ASL, ML-Decoder, Query2Label, AAM)


def create_optimizer(run: Run, model: nn.Module, loss: nn.Module,
                     steps: int) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimiser of the model's and the loss's parameters, and its schedule (none: constant) for `steps` an epoch.

    A model without a `backbone` is a head. Frozen parameters are in no group; ROLE's estimates decay whatever `decay` says.
    `one_cycle` is to be stepped after each step, the others after each epoch.
    """
    settings = run.optimizer
    lr = settings.lr * run.batch_size / 256 if settings.lr_scaling == "batch_256" else settings.lr
    groups = _groups(run, model, lr)
    if parameters := list(loss.parameters()):
        groups.append({"params": parameters, "lr": lr * LOSS_LR_FACTOR})
    if settings.name == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
        optimizer = kind(groups, weight_decay=settings.weight_decay)
    epochs = settings.planned_epochs or run.epochs
    schedules = {
        "constant": lambda _: None,
        "linear": partial(LinearLR, start_factor=1 / 3, total_iters=10),
        "cosine": partial(CosineAnnealingLR, T_max=epochs),
        "one_cycle": partial(OneCycleLR, max_lr=[group["lr"] for group in groups], total_steps=epochs * steps, pct_start=WARM_UP,
                             div_factor=settings.div_factor, final_div_factor=settings.final_div_factor),
    }
    return optimizer, schedules[settings.schedule](optimizer)


def _groups(run: Run, model: nn.Module, lr: float) -> list[dict]:
    """Parameters by (of the head, at twice the lr, without decay), in this order, so that the first group has the plain lr."""
    head = {id(p) for p in (model.head if hasattr(model, "backbone") else model).parameters()}
    groups: dict[tuple[bool, bool, bool], list[Tensor]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            bias, no_bias = name.endswith("bias"), run.optimizer.decay == "no_bias"
            undecayed = run.optimizer.decay != "all" and (bias or p.ndim == 1)
            undecayed |= no_bias and name.endswith("weight") and ("norm" in name or "query_embed" in name)
            groups.setdefault((id(p) in head, bias and no_bias, undecayed), []).append(p)
    return [{"params": parameters, "lr": lr * (run.optimizer.head_lr_factor if in_head else 1.0) * (2 if doubled else 1),
             "weight_decay": 0.0 if undecayed else run.optimizer.weight_decay}
            for (in_head, doubled, undecayed), parameters in sorted(groups.items(), key=lambda item: item[0])]
