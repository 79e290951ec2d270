"""What a model costs: parameters, and operations of one picture by kind, measured on the built model (no data, no weights).

Numbers are multiply-accumulates (MACs), as in the papers, also where they write GFLOPs. By kind: products, those of
convolution, linear, attention (its two) and matmul_other; batch_norm, layer_norm, elementwise (activation, addition, softmax)
and pooling: operations, one an element of the output, and of a pooling's or sum's input.
"""

from collections import Counter
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import flop_registry

from mlrepro.models.backbones import Backbone, map_size
from mlrepro.models.checkpoints import head_options
from mlrepro.models.classifier import Classifier, freeze
from mlrepro.models.heads import create_head
from mlrepro.records import Cost
from mlrepro.settings.run import Run

PRODUCTS = ("convolution", "linear", "attention", "matmul_other")
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
WORD_VECTOR = 300  # GloVe's width, of the label graph's nodes


class Operations(TorchDispatchMode):
    """Counts by kind what `model` computes while this mode is on."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.running: list[
            nn.Module
        ] = []  # modules inside whose forward we are, the innermost last
        for module in model.modules():
            module.register_forward_pre_hook(lambda module, _: self.running.append(module))
            module.register_forward_hook(self._leave)

    def _leave(self, *_) -> None:
        self.running.pop()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        op, name = func.overloadpacket, func.overloadpacket.__name__
        if op in flop_registry:
            self.counts[self._product(name)] += (
                flop_registry[op](*args, **kwargs, out_val=out) // 2
            )  # it counts 2 a MAC
        elif name in NORMS:
            self.counts[NORMS[name]] += out[0].numel()
        elif name in REDUCTIONS:
            self.counts["pooling"] += args[0].numel()
        elif name.endswith("_softmax") or (torch.Tag.pointwise in func.tags and name not in COPIES):
            self.counts["elementwise"] += out.numel()
        return out

    def _product(self, name: str) -> str:
        """torch's fused attention comes as its parts on the meta device, so the module around a product says what it is."""
        innermost = self.running[-1] if self.running else None
        if name == "convolution":
            return "convolution"
        if isinstance(innermost, nn.Linear):
            return "linear"
        if "Attention" in type(innermost).__name__:
            return (
                "attention" if name == "bmm" else "linear"
            )  # nn.MultiheadAttention projects without nn.Linear
        return "matmul_other"


def build(
    head: str, backbone: str, num_classes: int, resolution: int, options: dict | None = None
) -> Classifier:
    """The model on the meta device, eval mode; `linear` with the pooling before it. Without one in `options`, label graphs have
    word vectors 0 and no edges. Raises InputError for what cannot be built."""
    size, options = map_size(backbone, resolution), dict(options or {})
    if head in ("mlgcn", "graph"):
        options = {
            "words": np.zeros((num_classes, WORD_VECTOR)),
            "A": np.eye(num_classes),
        } | options
    with torch.device("meta"):
        network = Backbone(backbone, resolution)
        module = create_head(head, network.channels, num_classes, size, **options)
        if head == "linear":
            module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), module)
        return Classifier(network, module).eval()


def count(model: Classifier, resolution: int) -> tuple[Counter[str], Counter[str]]:
    """Operations of one picture with everything computed, and those among them of the label graph's branch."""
    picture, operations = (
        torch.empty(1, 3, resolution, resolution, device="meta"),
        Operations(model),
    )
    branch = getattr(model.head, "gates", None) or getattr(model.head, "class_weights", Tensor)
    with torch.no_grad():
        with operations:
            model(picture)
        everything = operations.counts.copy()
        with operations:
            branch()
    return everything, operations.counts - everything


def measure_cost(run: Run, num_classes: int, text_dim: int = 0, **graph) -> Cost:
    """Parameters and GMACs of backbone and head at the run's resolution, also where only the head was trained.

    graph: words and A of the head's label graph, whose branch counts as precomputed. text_dim: width of the captions' vectors,
    of which only the classifier's part counts, and not the text model (004).
    """
    text = text_dim * num_classes
    if run.inputs == "captions":
        parameters = text + num_classes
        return Cost(
            parameters=parameters,
            trainable_parameters=parameters,
            gmacs=text / 1e9,
            gflops=2 * text / 1e9,
        )
    model = build(run.head, run.backbone, num_classes, run.resolution, head_options(run) | graph)
    everything, branch = count(model, run.resolution)
    macs = sum(everything[kind] - branch[kind] for kind in PRODUCTS) + text
    freeze(model.backbone, run.freeze)
    trained = model if run.inputs == "images" and run.freeze != "backbone" else model.head
    return Cost(
        parameters=parameters_of(model) + text,
        trainable_parameters=sum(p.numel() for p in trained.parameters() if p.requires_grad) + text,
        gmacs=macs / 1e9,
        gflops=2 * macs / 1e9,
    )


@cache
def forward_speed(
    head: str,
    backbone: str,
    num_classes: int,
    resolution: int,
    options: tuple,
    device: torch.device,
) -> float:
    """Pictures a second of the forward pass in batches of 16 on this machine, the best of three. options: items of the head's."""
    model = build(head, backbone, num_classes, resolution, dict(options)).to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(0.01)  # what was in the memory may be denormal, and slow
    batch = torch.ones(16, 3, resolution, resolution, device=device)
    timer = Timer(
        "model(batch).cpu()",
        globals={"model": model, "batch": batch},
        num_threads=torch.get_num_threads(),
    )
    with torch.inference_mode():
        return round(len(batch) / min(timer.timeit(1).mean for _ in range(3)), 1)


def parameters_of(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
