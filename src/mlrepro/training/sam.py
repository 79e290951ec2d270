"""Sharpness-aware minimisation (Foret et al., ICLR 2021) as deep-object-reid runs it for AAM, around any optimiser."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


def sharpness_aware(backward: Callable[[], Tensor], model: nn.Module, loss: nn.Module, rho: float) -> Tensor:
    """Leaves in `model` the gradient at w + rho g / (||g|| + 1e-12), where g is that at its weights w, which do not change.

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
