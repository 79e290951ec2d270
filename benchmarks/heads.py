"""Forward and backward of heads and losses against straightforward loops, with equal values.

    python benchmarks/heads.py                     # a CPU
    python benchmarks/heads.py --device cuda       # a GPU, if there is one

The usual way of the heads computes attention as published code does, with the attention weights
returned (and averaged over the heads) though nobody reads them, and ML-Decoder's group projection
as a loop over the queries. The usual way of the losses goes over the logits once a term:
probabilities, clipping, two logarithms, two focusing weights by their own powers, masks. Both ways
have the same weights and inputs. What each keeps for the backward pass, the part of the peak memory
that is its own, is stated, and on a GPU the peak itself, too.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from common import compare, parser, timed, write
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.losses.angular_margin import aam
from mlrepro.losses.asymmetric import asl
from mlrepro.models.heads import create_head


@dataclass(frozen=True)
class Pair:
    """Two functions that return a tensor to be summed and differentiated.

    parameters: differentiated by; inputs: what both are given beside them.
    """

    name: str
    ours: Callable[[], Tensor]
    usual: Callable[[], Tensor]
    parameters: list[Tensor]
    inputs: list[Tensor]
    peer: str

    def values_and_gradients(self, function: Callable[[], Tensor]) -> tuple[Tensor, list[Tensor]]:
        self.clear_gradients()
        function().sum().backward()
        return function().detach(), [parameter.grad for parameter in self.parameters]

    def clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


# ---- The usual way -----------------------------------------------------------------------------


class WeightedAttention(nn.MultiheadAttention):
    """Always with its weights."""

    def forward(self, query, key, value, need_weights=True):
        return super().forward(query, key, value, need_weights=True)


def usual_head(head: nn.Module) -> nn.Module:
    """The same parameters, the usual way."""
    usual = copy.deepcopy(head)
    for module, twin in zip(head.modules(), usual.modules(), strict=True):
        twin._parameters.update(module._parameters)
        if isinstance(twin, nn.MultiheadAttention):
            twin.__class__ = WeightedAttention
    return usual


def ml_decoder_loop(head: nn.Module, features: Tensor) -> Tensor:
    """The logits of an MLDecoderHead, a query at a time."""
    decoded = head.decode(features)
    projection = head.duplicate_pooling
    if head.angular:
        decoded = F.normalize(decoded, dim=2)
        projection = F.normalize(projection, dim=1)

    groups, _, classes_a_group = projection.shape
    out = decoded.new_zeros(len(decoded), groups, classes_a_group)
    for group in range(groups):
        out[:, group] = decoded[:, group] @ projection[group]
    logits = out.flatten(1)[:, : head.num_classes]
    return logits + head.duplicate_pooling_bias


def asl_loop(logits: Tensor, y: Tensor, gamma_neg: float = 4.0, clip: float = 0.05) -> Tensor:
    """A term after the other, as published code has it; gamma_pos is 0."""
    p = torch.sigmoid(logits)
    not_p = (1 - p + clip).clamp(max=1)
    positive = y * torch.log(p.clamp(min=1e-8))
    negative = (1 - y) * torch.log(not_p.clamp(min=1e-8))

    with torch.no_grad():
        probability_of_label = p * y + not_p * (1 - y)
        gamma = 0 * y + gamma_neg * (1 - y)
        weight = torch.pow(1 - probability_of_label, gamma)
    return -(weight * (positive + negative)).sum()


def aam_loop(
    logits: Tensor,
    y: Tensor,
    scale: float = 23.0,
    k: float = 0.7,
    gamma_neg: float = 1.0,
    clip: float = 0.05,
) -> Tensor:
    """As asl_loop, with gradients through the weight and without a margin."""
    p = torch.sigmoid(scale * logits)
    n = (torch.sigmoid(-scale * logits) + clip).clamp(max=1)
    positive = k * y * torch.log(p)
    negative = (1 - k) * (1 - y) * torch.log(n)

    probability_of_other = n * y + p * (1 - y)
    gamma = 0 * y + gamma_neg * (1 - y)
    weight = torch.pow(probability_of_other, gamma)
    return -(weight * (positive + negative)).sum() / scale


# ---- What is measured --------------------------------------------------------------------------


def measure(pair: Pair, repeats: int, device: str) -> dict:
    """A row of a pair: seconds, memory, and the difference of values and gradients."""

    def clock(function: Callable[[], Tensor]) -> tuple[float, float]:
        def step() -> None:
            function().sum().backward()
            if device == "cuda":
                torch.cuda.synchronize()

        pair.clear_gradients()
        return timed(step)

    given = pair.parameters + pair.inputs
    facts = {
        "peer": pair.peer,
        "difference": largest_difference(pair),
        "saved_mib": saved_mib(pair.ours, given),
        "peer_saved_mib": saved_mib(pair.usual, given),
    }
    if device == "cuda":
        for key, function in (("peak_mib", pair.ours), ("peer_peak_mib", pair.usual)):
            torch.cuda.reset_peak_memory_stats()
            clock(function)
            facts[key] = torch.cuda.max_memory_allocated() / 2**20
    return compare(pair.name, pair.ours, pair.usual, repeats, clock, **facts)


def largest_difference(pair: Pair) -> float:
    """Of values, or of gradients, relative to the largest of them.

    Of the gradients together: one that is 0 but for rounding (attention's key bias) has no relative
    difference of its own.
    """
    our_value, our_gradients = pair.values_and_gradients(pair.ours)
    usual_value, usual_gradients = pair.values_and_gradients(pair.usual)
    of_values = relative_difference([our_value], [usual_value])
    of_gradients = relative_difference(our_gradients, usual_gradients)
    return max(of_values, of_gradients)


def relative_difference(ours: list[Tensor], usual: list[Tensor]) -> float:
    difference = max((a - b).abs().max() for a, b in zip(ours, usual, strict=True))
    largest = max(b.abs().max() for b in usual)
    return (difference / largest).item()


def saved_mib(function: Callable[[], Tensor], given: list[Tensor]) -> float:
    """MiB of the tensors that one forward pass keeps for its backward pass.

    Without those given: parameters and inputs.
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in given}
    kept = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(kept.values()) / 2**20


# ---- Heads and losses --------------------------------------------------------------------------


def heads(
    batch: int, channels: int, size: int, classes: int, repeats: int, device: str
) -> list[dict]:
    torch.manual_seed(0)
    features = torch.randn(batch, channels, size, size, device=device)
    query2label = {
        "dropout": 0.0,
        "hidden": channels // 2,
        "keep_input_proj": True,
        "keep_self_attention": "both",
    }

    rows = []
    for title, name, options in (
        ("ML-Decoder", "ml_decoder", {"dropout": 0.0}),
        ("ML-Decoder, angular (AAM)", "ml_decoder", {"dropout": 0.0, "angular": True}),
        ("Query2Label", "query2label", query2label),
    ):
        head = create_head(name, channels, classes, (size, size), **options).to(device)
        shape = f"{batch} maps of {channels} x {size} x {size}, {classes} classes"
        pair = head_pair(f"{title}, {shape}", name, head, features)
        rows.append(measure(pair, repeats, device))
    return rows


def head_pair(title: str, name: str, head: nn.Module, features: Tensor) -> Pair:
    usual = usual_head(head)

    def usual_logits() -> Tensor:
        return ml_decoder_loop(usual, features) if name == "ml_decoder" else usual(features)

    peer = "attention with weights"
    if name == "ml_decoder":
        peer += ", loop over queries"
    return Pair(
        title,
        ours=lambda: head(features),
        usual=usual_logits,
        parameters=[p for p in head.parameters() if p.requires_grad],
        inputs=[features, *head.buffers()],
        peer=peer,
    )


def losses(batch: int, classes: int, repeats: int, device: str) -> list[dict]:
    random = torch.Generator(device).manual_seed(0)
    shape = batch, classes
    targets = (torch.rand(shape, generator=random, device=device) < 3 / classes).float()
    logits = torch.randn(shape, generator=random, device=device).requires_grad_()
    cosines = torch.empty(shape, device=device).uniform_(-0.2, 0.2, generator=random)
    cosines.requires_grad_()

    pairs = [
        Pair(
            f"ASL of {batch} x {classes} logits",
            ours=lambda: asl(logits, targets),
            usual=lambda: asl_loop(logits, targets),
            parameters=[logits],
            inputs=[targets],
            peer="a pass a term",
        ),
        Pair(
            f"AAM of {batch} x {classes} cosines",
            ours=lambda: aam(cosines, targets),
            usual=lambda: aam_loop(cosines, targets),
            parameters=[cosines],
            inputs=[targets],
            peer="a pass a term",
        ),
    ]
    return [measure(pair, repeats, device) for pair in pairs]


def main() -> None:
    options = parser(
        __doc__, device="cpu", batch=8, channels=512, size=14, classes=80, loss_batch=512, repeats=9
    )
    given = options.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU was found; python benchmarks/heads.py measures on the CPU")

    rows = heads(
        given.batch, given.channels, given.size, given.classes, given.repeats, given.device
    )
    for classes in (given.classes, 100 * given.classes):
        rows += losses(given.loss_batch, classes, given.repeats, given.device)
    write(
        "heads",
        rows,
        __doc__,
        given.out,
        given.device,
        threads=torch.get_num_threads(),
        difference="of values and gradients, relative to their largest",
    )


if __name__ == "__main__":
    main()
