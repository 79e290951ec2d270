"""Parameters in groups that share a learning rate and a weight decay."""

from typing import NamedTuple

from torch import Tensor, nn

from mlrepro.settings.run import Run


class Group(NamedTuple):
    """In the order of sorting: the first group has the plain learning rate."""

    in_head: bool
    doubled: bool
    undecayed: bool


def parameter_groups(run: Run, model: nn.Module, lr: float) -> list[dict]:
    """The learned parameters of `model`, in groups as torch's optimisers take them.

    A model without a `backbone` is a head. Frozen parameters are in no group.
    """
    head = model.head if hasattr(model, "backbone") else model
    in_head = {id(p) for p in head.parameters()}

    groups: dict[Group, list[Tensor]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            group = _group_of(name, p, id(p) in in_head, run.optimizer.decay)
            groups.setdefault(group, []).append(p)
    return [_as_torch_takes_it(run, groups[group], group, lr) for group in sorted(groups)]


def _group_of(name: str, p: Tensor, in_head: bool, decay: str) -> Group:
    """See Optimizer.decay."""
    bias = name.endswith("bias")
    one_dimensional = bias or p.ndim == 1
    if decay == "all":
        return Group(in_head, doubled=False, undecayed=False)
    if decay == "matrices":
        return Group(in_head, doubled=False, undecayed=one_dimensional)

    # `no_bias`: matrices of norms and queries are known by their names.
    named = name.endswith("weight") and ("norm" in name or "query_embed" in name)
    return Group(in_head, doubled=bias, undecayed=one_dimensional or named)


def _as_torch_takes_it(run: Run, parameters: list[Tensor], group: Group, lr: float) -> dict:
    factor = run.optimizer.head_lr_factor if group.in_head else 1.0
    if group.doubled:
        factor = factor * 2
    return {
        "params": parameters,
        "lr": lr * factor,
        "weight_decay": 0.0 if group.undecayed else run.optimizer.weight_decay,
    }
