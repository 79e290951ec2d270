"""Many linear layers as one matrix, and their Adam."""

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from mlrepro.training.grid.lazy_adam import ADAM_EPSILON, BETA1, BETA2


class StackedLayers:
    """M linear layers that start as `layer` and step together; lr (M,).

    The weights are one (D, C * M) matrix, class by class, and divided by each member's lr: Adam's
    step is the lr times something that does not depend on it, so that one call with lr 1 serves all
    members.
    """

    def __init__(self, layer: nn.Linear, lr: Tensor):
        # Columns are class by class, and in a class member by member.
        self.lr = lr
        weight = layer.weight.detach().to(lr.device).T[..., None] / lr
        bias = layer.bias.detach().to(lr.device)[:, None] / lr
        self.weight = weight.flatten(1).contiguous()  # laid out as its gradient
        self.bias = bias.flatten()

        self.parameters = [self.weight, self.bias]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.adam_steps = [torch.zeros((), device=lr.device) for _ in self.parameters]

    def forward(self, batch: Tensor) -> Tensor:
        """Features (B, D) -> logits (B, C, M)."""
        logits = product(batch, self.weight, self.bias)
        return logits.view(len(batch), -1, len(self.lr)) * self.lr

    def update(self, transposed: Tensor, gradient: Tensor) -> None:
        """A step, given the features (D, B) and the gradient by the logits (B, C, M)."""
        gradient = gradient.flatten(1)
        # Not the optimiser's object, whose bookkeeping takes a tenth of a step's time.
        adam(
            self.parameters,
            [product(transposed, gradient), gradient.sum(0)],
            self.means,
            self.squares,
            [],
            self.adam_steps,
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=1.0,
            weight_decay=0.0,
            eps=ADAM_EPSILON,
            maximize=False,
        )

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy of one member's weights, named and shaped as nn.Linear's."""
        members = len(self.lr)
        lr = self.lr[member]
        return {
            "weight": (self.weight[:, member::members] * lr).T.contiguous(),
            "bias": self.bias[member::members] * lr,
        }


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left (m, k) @ right (k, n) + bias.

    On a CPU by oneDNN, as MKL, which torch.mm calls, does without AVX-512 on AMD's.
    """
    if not left.is_cuda and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(left, right.T, bias, "none", [], "")
    if bias is None:
        return torch.mm(left, right)
    return torch.addmm(bias, left, right)
