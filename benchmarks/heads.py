"""Forward and backward of heads and losses against straightforward loops, with equal values.

    python benchmarks/heads.py                     # a CPU
    python benchmarks/heads.py --device cuda       # a GPU, if there is one

The usual way of the heads computes attention as published code does, with the attention weights returned (and averaged over
the heads) though nobody reads them, and ML-Decoder's group projection as a loop over the queries. The usual way of the losses
goes over the logits once a term: probabilities, clipping, two logarithms, two focusing weights by their own powers, masks. Both
ways have the same weights and inputs. What each keeps for the backward pass, the part of the peak memory that is its own, is
stated, and on a GPU the peak itself, too.
"""

import copy

import torch
from common import compare, parser, timed, write
from torch import Tensor, nn
from torch.nn import functional as F

from mlrepro.losses.angular_margin import aam
from mlrepro.losses.asymmetric import asl
from mlrepro.models.heads import create_head


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
    decoded, projection = head.decode(features), head.duplicate_pooling
    if head.angular:
        decoded, projection = F.normalize(decoded, dim=2), F.normalize(projection, dim=1)
    out = decoded.new_zeros(len(decoded), *projection.shape[::2])
    for group in range(len(projection)):
        out[:, group] = decoded[:, group] @ projection[group]
    return out.flatten(1)[:, : head.num_classes] + head.duplicate_pooling_bias


def asl_loop(logits: Tensor, y: Tensor, gamma_neg: float = 4.0, clip: float = 0.05) -> Tensor:
    p = torch.sigmoid(logits)
    not_p = (1 - p + clip).clamp(max=1)
    positive = y * torch.log(p.clamp(min=1e-8))
    negative = (1 - y) * torch.log(not_p.clamp(min=1e-8))
    with torch.no_grad():
        weight = torch.pow(1 - p * y - not_p * (1 - y), 0 * y + gamma_neg * (1 - y))
    return -(weight * (positive + negative)).sum()


def aam_loop(
    logits: Tensor,
    y: Tensor,
    scale: float = 23.0,
    k: float = 0.7,
    gamma_neg: float = 1.0,
    clip: float = 0.05,
) -> Tensor:
    p, n = torch.sigmoid(scale * logits), torch.sigmoid(-scale * logits)
    n = (n + clip).clamp(max=1)
    positive = k * y * torch.log(p)
    negative = (1 - k) * (1 - y) * torch.log(n)
    weight = torch.pow(n * y + p * (1 - y), 0 * y + gamma_neg * (1 - y))
    return -(weight * (positive + negative)).sum() / scale


def saved_mib(function, given: list[Tensor]) -> float:
    """MiB of the tensors that one forward pass keeps for its backward pass, without those given: parameters and inputs."""
    kept, known = {}, {tensor.untyped_storage().data_ptr() for tensor in given}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(kept.values()) / 2**20


def pair(
    name: str,
    ours,
    usual,
    parameters: list[Tensor],
    inputs: list[Tensor],
    repeats: int,
    device: str,
    **facts,
) -> dict:
    """A row of two functions that return a tensor to be summed and differentiated. difference: of values and gradients."""

    def clock(function) -> tuple[float, float]:
        def step():
            function().sum().backward()
            if device == "cuda":
                torch.cuda.synchronize()

        for parameter in parameters:
            parameter.grad = None
        return timed(step)

    found = []
    for function in (ours, usual):
        clock(function)
        found.append([function().detach(), *(p.grad for p in parameters)])
    # Of the gradients together: one that is 0 but for rounding (attention's key bias) has no relative difference of its own.
    worst = [
        max((a - b).abs().max() for a, b in part) / max(b.abs().max() for _, b in part)
        for part in (list(zip(*found, strict=True))[:1], list(zip(*found, strict=True))[1:])
    ]
    facts |= {
        "difference": max(worst).item(),
        "saved_mib": saved_mib(ours, parameters + inputs),
        "peer_saved_mib": saved_mib(usual, parameters + inputs),
    }
    if device == "cuda":
        for key, function in (("peak_mib", ours), ("peer_peak_mib", usual)):
            torch.cuda.reset_peak_memory_stats()
            clock(function)
            facts[key] = torch.cuda.max_memory_allocated() / 2**20
    return compare(name, ours, usual, repeats, clock, **facts)


def heads(
    batch: int, channels: int, size: int, classes: int, repeats: int, device: str
) -> list[dict]:
    torch.manual_seed(0)
    features = torch.randn(batch, channels, size, size, device=device)
    rows = []
    for title, name, options in (
        ("ML-Decoder", "ml_decoder", {"dropout": 0.0}),
        ("ML-Decoder, angular (AAM)", "ml_decoder", {"dropout": 0.0, "angular": True}),
        (
            "Query2Label",
            "query2label",
            {
                "dropout": 0.0,
                "hidden": channels // 2,
                "keep_input_proj": True,
                "keep_self_attention": "both",
            },
        ),
    ):
        head = create_head(name, channels, classes, (size, size), **options).to(device)
        usual = usual_head(head)
        way = (
            (lambda head=usual: ml_decoder_loop(head, features))
            if name == "ml_decoder"
            else lambda head=usual: head(features)
        )
        shared = [p for p in head.parameters() if p.requires_grad]
        rows.append(
            pair(
                f"{title}, {batch} maps of {channels} x {size} x {size}, {classes} classes",
                lambda head=head: head(features),
                way,
                shared,
                [features, *head.buffers()],
                repeats,
                device,
                peer="attention with weights" + ", loop over queries" * (name == "ml_decoder"),
            )
        )
    return rows


def losses(batch: int, classes: int, repeats: int, device: str) -> list[dict]:
    random = torch.Generator(device).manual_seed(0)
    targets = (torch.rand(batch, classes, generator=random, device=device) < 3 / classes).float()
    logits = torch.randn(batch, classes, generator=random, device=device).requires_grad_()
    cosines = (
        torch.empty(batch, classes, device=device)
        .uniform_(-0.2, 0.2, generator=random)
        .requires_grad_()
    )
    return [
        pair(
            f"ASL of {batch} x {classes} logits",
            lambda: asl(logits, targets),
            lambda: asl_loop(logits, targets),
            [logits],
            [targets],
            repeats,
            device,
            peer="a pass a term",
        ),
        pair(
            f"AAM of {batch} x {classes} cosines",
            lambda: aam(cosines, targets),
            lambda: aam_loop(cosines, targets),
            [cosines],
            [targets],
            repeats,
            device,
            peer="a pass a term",
        ),
    ]


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
    rows += losses(given.loss_batch, given.classes, given.repeats, given.device)
    rows += losses(given.loss_batch, 100 * given.classes, given.repeats, given.device)
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
