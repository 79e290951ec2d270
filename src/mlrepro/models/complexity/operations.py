"""Operations of one picture by kind.

Products, in multiply-accumulates: convolution, linear, attention (its two) and matmul_other. Other
operations, one an element of the output: batch_norm, layer_norm and elementwise (activation,
addition, softmax); pooling: one an element of a pooling's or sum's input.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mlrepro.models.complexity.parts import PRODUCTS

if TYPE_CHECKING:
    from mlrepro.models.classifier import Classifier

__all__ = ["PRODUCTS", "Operations", "count", "count_of"]

NORMS = {
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "layer_norm",
}
REDUCTIONS = (
    "mean",
    "sum",
    "amax",
    "linalg_vector_norm",
    "avg_pool2d",
    "max_pool2d_with_indices",
    "_adaptive_avg_pool2d",
)
COPIES = ("clone", "copy_", "_to_copy", "fill_")  # tagged as pointwise, but they compute nothing

# What heads on a label graph call the branch that no picture changes: (C,) gates, or the weights of
# the classifier.
GRAPH_BRANCHES = ("gates", "class_weights")


class Operations(TorchDispatchMode):
    """Counts by kind what `model` computes while this mode is on."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.counts: Counter[str] = Counter()
        # The modules inside whose forward we are, the innermost last.
        self.running: list[nn.Module] = []
        for module in model.modules():
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def _enter(self, module: nn.Module, _inputs) -> None:
        self.running.append(module)

    def _leave(self, *_) -> None:
        self.running.pop()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its compiler (1.5 CPU seconds) to keep it from compiling this.
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)

        # One name for all overloads of an operator: add.Tensor and add.Scalar are both add.
        operator = func.overloadpacket
        name = operator.__name__
        if operator in flop_registry:
            flops = flop_registry[operator](*args, **kwargs, out_val=out)
            self.counts[self._product(name)] += flops // 2  # torch counts 2 a MAC
        elif name in NORMS:
            self.counts[NORMS[name]] += out[0].numel()
        elif name in REDUCTIONS:
            self.counts["pooling"] += args[0].numel()
        elif name.endswith("_softmax") or _is_pointwise(func, name):
            self.counts["elementwise"] += out.numel()
        return out

    def _product(self, name: str) -> str:
        """The kind of a product, which the module around it tells.

        On the meta device, torch's fused attention comes as its parts.
        """
        innermost = self.running[-1] if self.running else None
        if name == "convolution":
            return "convolution"
        if isinstance(innermost, nn.Linear):
            return "linear"
        if "Attention" in type(innermost).__name__:
            # nn.MultiheadAttention projects without nn.Linear.
            return "attention" if name == "bmm" else "linear"
        return "matmul_other"


def _is_pointwise(func, name: str) -> bool:
    return torch.Tag.pointwise in func.tags and name not in COPIES


def count(model: "Classifier", resolution: int) -> tuple[Counter[str], Counter[str]]:
    """Operations of one picture, everything computed, and those of the label graph's branch."""
    picture = torch.empty(1, 3, resolution, resolution, device="meta")
    return count_of(model, picture, model.head)


def count_of(
    model: nn.Module, inputs: torch.Tensor, head: nn.Module
) -> tuple[Counter[str], Counter[str]]:
    """As `count`, of a model or a part of one. inputs: of one picture. head: has the branch."""
    operations = Operations(model)
    with torch.no_grad():
        with operations:
            model(inputs)
        everything = operations.counts.copy()

        # The same mode counts on: what is more afterwards is the branch.
        branch = _graph_branch(head)
        if branch:
            with operations:
                branch()
    return everything, operations.counts - everything


def _graph_branch(head: nn.Module) -> Callable | None:
    for name in GRAPH_BRANCHES:
        if hasattr(head, name):
            return getattr(head, name)
    return None
