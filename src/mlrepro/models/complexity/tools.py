"""MACs as two tools count them, ptflops 0.6 and fvcore, whose numbers the AAM paper prints.

Neither counts what is true, and they differ (the specification's section 3 on AAM and its base).
"""

from collections import Counter

from torch import nn

from mlrepro.models.complexity.operations import PRODUCTS

# ptflops counts one operation an element of these modules' inputs. TResNet's LeakyReLUs are part of
# its InPlaceABN, which ptflops does not know either.
PTFLOPS_ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)

# What fvcore counts an element of a norm as.
FVCORE_NORMS = {"batch_norm": 2, "layer_norm": 5}


def count_as_ptflops(model: nn.Module) -> list[int]:
    """A list that fills with the MACs of each module of `model` as it runs."""
    macs: list[int] = []

    def add(module: nn.Module, inputs: tuple, output) -> None:
        macs.append(ptflops_macs(module, inputs, output))

    for module in model.modules():
        module.register_forward_hook(add)
    return macs


def ptflops_macs(module: nn.Module, inputs: tuple, output) -> int:
    """What ptflops 0.6 counts one call of a module as.

    It knows modules of exactly these types, hence no timm Conv2dSame and no function outside a
    module.
    """
    kind = type(module)
    if kind is nn.Conv2d:
        bias = module.bias is not None
        return output.numel() * (module.weight[0].numel() + bias)
    if kind is nn.Linear:
        products = output.numel() * module.in_features
        return products if module.bias is None else products + module.out_features
    if kind is nn.BatchNorm2d:
        return 2 * output.numel()
    if kind is nn.MultiheadAttention:
        return _ptflops_attention(module, inputs)
    if kind in PTFLOPS_ELEMENTWISE:
        return inputs[0].numel()
    return 0


def _ptflops_attention(module: nn.MultiheadAttention, inputs: tuple) -> int:
    """Of queries (B, Q, D) and keys (B, N, D): projections, the two products, the softmax."""
    batch, queries, width = inputs[0].shape
    keys = inputs[1].shape[1]
    projections = (2 * queries + 2 * keys) * width**2
    products = 2 * queries * keys * width
    softmax = queries * keys * module.num_heads
    return batch * (projections + products + softmax)


def fvcore_macs(counts: Counter[str], backbone: str) -> int:
    """What fvcore makes of a model's operations: the products, and norms several times."""
    products = sum(counts[kind] for kind in PRODUCTS)
    norms = set(FVCORE_NORMS)
    if backbone.startswith("tresnet"):
        norms -= {"batch_norm"}  # its InPlaceABN, which timm replaces, is unknown to fvcore
    return products + sum(FVCORE_NORMS[kind] * counts[kind] for kind in norms)
