"""Sharpness-aware minimisation (Foret et al. 2021), around any optimiser."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

SMALLEST_NORM = 1e-12  # deep-object-reid's, for a gradient of zero


def sharpness_aware(
    backward: Callable[[], Tensor], model: nn.Module, loss: nn.Module, rho: float
) -> Tensor:
    """Leaves in `model` the gradient at w + rho g / (||g|| + 1e-12), as deep-object-reid runs AAM.

    g is the gradient at the model's weights w, which do not change. Its norm is over all parameters
    that have one, without weight decay.

    backward(): the loss of a batch, with new gradients of it. Returns that at w.

    Both passes update batch norm's statistics and draw their own dropout. What `loss` remembers of
    a batch (LargeLoss's corrected labels) is decided at w alone: both passes see its state before.
    """
    state_before = copy.deepcopy(loss.state_dict())
    value = backward()
    state_after = copy.deepcopy(loss.state_dict())
    loss.load_state_dict(state_before)

    weights = {p: p.detach().clone() for p in model.parameters() if p.grad is not None}
    scale = rho / (get_total_norm([p.grad for p in weights]) + SMALLEST_NORM)
    with torch.no_grad():
        for p in weights:
            p.add_(p.grad * scale)

    backward()
    with torch.no_grad():
        for p, before in weights.items():
            p.copy_(before)
    loss.load_state_dict(state_after)
    return value
