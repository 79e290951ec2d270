"""Optimisers and learning-rate schedules."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR

from mlrepro.settings.run import Run

LOSS_LR_FACTOR = 10  # ROLE's label estimator learns ten times as fast as the classifier (Cole et al. 2021, released code)
WARM_UP = 0.2  # share of OneCycle's steps before its peak (ASL, ML-Decoder, Query2Label, AAM)


def create_optimizer(
    run: Run, model: nn.Module, loss: nn.Module, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimiser of the model's and the loss's parameters, and its schedule (none: constant) for `steps` an epoch. A model
    without a `backbone` is a head. Frozen parameters are in no group; ROLE's estimates decay whatever `decay` says. `one_cycle`
    is to be stepped after each step, the others after each epoch."""
    settings = run.optimizer
    lr = settings.lr * run.batch_size / 256 if settings.lr_scaling == "batch_256" else settings.lr
    groups = _groups(run, model, lr)
    if parameters := list(loss.parameters()):
        groups.append({"params": parameters, "lr": lr * LOSS_LR_FACTOR})
    sgd = partial(torch.optim.SGD, momentum=settings.momentum)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": sgd}
    optimizer = kinds[settings.name](groups, weight_decay=settings.weight_decay)
    epochs = settings.planned_epochs or run.epochs
    schedules = {
        "constant": lambda _: None,
        "linear": partial(LinearLR, start_factor=1 / 3, total_iters=10),
        "cosine": partial(CosineAnnealingLR, T_max=epochs),
        "one_cycle": partial(
            OneCycleLR,
            max_lr=[group["lr"] for group in groups],
            total_steps=epochs * steps,
            pct_start=WARM_UP,
            div_factor=settings.div_factor,
            final_div_factor=settings.final_div_factor,
        ),
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
            undecayed |= (
                no_bias and name.endswith("weight") and ("norm" in name or "query_embed" in name)
            )
            groups.setdefault((id(p) in head, bias and no_bias, undecayed), []).append(p)
    return [
        {
            "params": parameters,
            "lr": lr * (run.optimizer.head_lr_factor if in_head else 1.0) * (2 if doubled else 1),
            "weight_decay": 0.0 if undecayed else run.optimizer.weight_decay,
        }
        for (in_head, doubled, undecayed), parameters in sorted(
            groups.items(), key=lambda item: item[0]
        )
    ]


def sharpness_aware(
    backward: Callable[[], Tensor], model: nn.Module, loss: nn.Module, rho: float
) -> Tensor:
    """Sharpness-aware minimisation (Foret et al., ICLR 2021) as deep-object-reid runs it for AAM, around any optimiser.

    Leaves in `model` the gradient at w + rho g / (||g|| + 1e-12), where g is that at its weights w, which do not change.

    backward(): the loss of a batch, with new gradients of it. Returns that at w. The norm is over all parameters that have
    a gradient, without weight decay. Both passes update batch norm's statistics and draw their own dropout. What `loss`
    remembers of a batch (LargeLoss's corrected labels) is decided at w alone: both passes see its state of before.
    """
    before = copy.deepcopy(loss.state_dict())
    value = backward()
    after = copy.deepcopy(loss.state_dict())
    loss.load_state_dict(before)
    moved = {p: p.detach().clone() for p in model.parameters() if p.grad is not None}
    scale = rho / (get_total_norm([p.grad for p in moved]) + 1e-12)
    with torch.no_grad():
        for p in moved:
            p.add_(p.grad * scale)
    backward()
    with torch.no_grad():
        for p, w in moved.items():
            p.copy_(w)
    loss.load_state_dict(after)
    return value
