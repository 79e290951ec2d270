"""Training and evaluation on a GPU: the package's step against a plain eager autocast loop.

    python benchmarks/gpu.py                 # exit code 2 where there is no GPU

For each model at 448 px: pictures a second of training in bfloat16, channels last, compiled or not,
with and without SAM, by the package's own `train_step`, and of the plain loop: eager, autocast,
contiguous pictures, zero_grad, backward, step, with SAM the usual two passes. Pictures are random
and already on the GPU, so that loading is not measured (benchmarks/pictures.py does). `share`: what
the training's matrix operations (3 times the forward's multiply-accumulates; 6 with SAM) reach of
the rate that the card reaches here with one large bfloat16 product. Evaluation and feature
extraction (the backbone alone) are forward passes, the first in float32, as the package scores.
`profile` names the kernels that the largest model's step spends its time in.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from common import parser, write
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from mlrepro.losses import create_loss
from mlrepro.models.classifier import create_classifier
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.settings.run import Run
from mlrepro.training.optimizers.create import create_optimizer
from mlrepro.training.precision import autocast
from mlrepro.training.state import TrainingState
from mlrepro.training.step import Batch, train_step

MODELS = {
    "ResNet-101": ("gap", "resnet101"),
    "EfficientNetV2-s + ML-Decoder": ("ml_decoder", "tf_efficientnetv2_s"),
    "TResNet-L + ML-Decoder": ("ml_decoder", "tresnet_l"),
}
LARGEST = "TResNet-L + ML-Decoder"

CLASSES = 80  # COCO's
POSITIVES = 0.04  # the share of positive labels
RHO = 0.05  # of SAM
WARM_UP = 3  # steps
GOAL = 1.5  # the least ratio of training to the plain loop


@dataclass(frozen=True)
class Setting:
    """What all models are measured with. `peak`: MACs a second of one large product."""

    resolution: int
    batch_size: int
    steps: int
    repeats: int
    device: torch.device
    peak: float

    def rate(self, step: Callable) -> float:
        """Pictures a second."""
        return rate(step, self.batch_size, self.steps, self.repeats, self.device)


def create_run(head: str, backbone: str, resolution: int, batch: int, sam: bool) -> Run:
    optimizer = {"name": "sgd", "lr": 1e-3, "momentum": 0.9}
    if sam:
        optimizer["sam_rho"] = RHO
    return Run.model_validate(
        {
            "data": "random",
            "inputs": "images",
            "head": head,
            "backbone": backbone,
            "weights": "none",
            "resolution": resolution,
            "loss": {"name": "asl"},
            "optimizer": optimizer,
            "precision": "bfloat16",
            "epochs": 1,
            "batch_size": batch,
        }
    )


# --- clocks ---------------------------------------------------------------------------------------


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(step: Callable, batch: int, steps: int, repeats: int, device: torch.device) -> float:
    """Pictures a second: the median of `repeats` times `steps` steps, after a warm-up."""
    _time(step, WARM_UP, device)
    seconds = [_time(step, steps, device) for _ in range(repeats)]
    return statistics.median(batch * steps / each for each in seconds)


def _time(step: Callable, count: int, device: torch.device) -> float:
    """Seconds of `count` steps, to the end of what they started on the device."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(count):
        step()
    synchronise(device)
    return time.perf_counter() - start


def matrix_rate(device: torch.device, size: int = 8192, repeats: int = 20) -> float:
    """Multiply-accumulates a second of one bfloat16 product of two square matrices."""
    shape = (size, size)
    a = torch.randn(shape, device=device, dtype=torch.bfloat16)
    b = torch.randn(shape, device=device, dtype=torch.bfloat16)
    products_a_second = rate(lambda: a @ b, batch=1, steps=repeats, repeats=3, device=device)
    return products_a_second * size**3


# --- the two ways of a training step --------------------------------------------------------------


def our_step(
    run: Run, model: nn.Module, loss: nn.Module, batch: Tensor, targets: Tensor, compiled: bool
) -> Callable:
    """The package's step on one batch, as a function without arguments."""
    optimizer, schedule = create_optimizer(run, model, loss, 1)
    forward = torch.compile(model) if compiled else model
    state = TrainingState(model, forward, None, loss, optimizer, schedule)

    model.to(memory_format=torch.channels_last).train()
    pictures = batch.contiguous(memory_format=torch.channels_last)
    rows = torch.arange(len(batch), device=batch.device)
    return partial(train_step, run, state, Batch(pictures, targets, rows), "the benchmark")


def plain_step(
    run: Run, model: nn.Module, loss: nn.Module, batch: Tensor, targets: Tensor
) -> Callable:
    """The plain loop's step on one batch, as a function without arguments."""
    optimizer, _ = create_optimizer(run, model, loss, 1)
    model.to(memory_format=torch.contiguous_format).train()
    half = run.precision == "bfloat16"

    def backward() -> None:
        optimizer.zero_grad()
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=half):
            logits = model(batch)
        loss(logits.float(), targets, None).backward()

    def step() -> None:
        backward()
        if run.optimizer.sam_rho:
            second_pass()
        optimizer.step()

    def second_pass() -> None:
        """SAM's: the gradient at the worst weights within rho, for the weights before them."""
        learned = [p for p in model.parameters() if p.grad is not None]
        norms = torch.stack([p.grad.norm() for p in learned])
        scale = run.optimizer.sam_rho / (norms.norm() + 1e-12)
        moves = [p.grad * scale for p in learned]

        with torch.no_grad():
            for p, move in zip(learned, moves, strict=True):
                p.add_(move)
        backward()

        with torch.no_grad():
            for p, move in zip(learned, moves, strict=True):
                p.sub_(move)

    return step


# --- what is measured of a model ------------------------------------------------------------------


def measure(
    name: str,
    head: str,
    backbone: str,
    setting: Setting,
    compiles: tuple[bool, ...] = (False, True),
) -> list[dict]:
    """The rows of one model: training without and with SAM, evaluation, feature extraction."""
    device = setting.device
    random = torch.Generator(device).manual_seed(0)
    shape = (setting.batch_size, 3, setting.resolution, setting.resolution)
    batch = torch.randn(*shape, generator=random, device=device)
    drawn = torch.rand(setting.batch_size, CLASSES, generator=random, device=device)
    targets = (drawn < POSITIVES).to(torch.int8)

    rows = []
    for sam in (False, True):
        run = create_run(head, backbone, setting.resolution, setting.batch_size, sam)
        model = create_classifier(run, CLASSES)[0].to(device)
        rows += training_rows(name, run, model, batch, targets, setting, compiles)
    return rows + forward_rows(name, model, batch, setting)


def training_rows(
    name: str,
    run: Run,
    model: nn.Module,
    batch: Tensor,
    targets: Tensor,
    setting: Setting,
    compiles: tuple[bool, ...],
) -> list[dict]:
    """Pictures a second of training, a row each of `compiles`, beside those of the plain loop."""
    loss = create_loss(run.loss, targets.cpu(), None, torch.Generator())
    usual = setting.rate(plain_step(run, model, loss, batch, targets))

    # Backward costs twice the forward's products, and SAM makes both twice.
    sam = bool(run.optimizer.sam_rho)
    passes = 6 if sam else 3
    macs = passes * measure_cost(run, CLASSES).gmacs * 1e9

    rows = []
    for compiled in compiles:
        ours = setting.rate(our_step(run, model, loss, batch, targets, compiled))
        title = f"{name}, training"
        if sam:
            title += " with SAM"
        if compiled:
            title += ", compiled"
        row = {
            "name": title,
            "unit": "pictures/s",
            "ours": ours,
            "peer_rate": usual,
            "peer": "plain eager autocast loop",
            "ratio": ours / usual,
            "ratios": [ours / usual],
            "goal": GOAL,
            "note": f"{100 * ours * macs / setting.peak:.0f} % of the card's matrix rate",
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def forward_rows(name: str, model: nn.Module, batch: Tensor, setting: Setting) -> list[dict]:
    """Pictures a second of evaluation and of feature extraction."""
    model.eval()
    pictures = batch.contiguous(memory_format=torch.channels_last)

    rows = []
    for title, network, precision in (
        ("evaluation, float32", model, "float32"),
        ("feature extraction, bfloat16", model.backbone, "bfloat16"),
    ):
        with torch.inference_mode(), autocast(setting.device, precision):
            ours = setting.rate(partial(network, pictures))
        row = {"name": f"{name}, {title}", "unit": "pictures/s", "ours": ours}
        print(row, flush=True)
        rows.append(row)
    return rows


def busiest(
    head: str, backbone: str, resolution: int, batch_size: int, device: torch.device, top: int = 12
) -> list[str]:
    """The operations that one eager step spends most time in, each with its share."""
    run = create_run(head, backbone, resolution, batch_size, sam=False)
    model = create_classifier(run, CLASSES)[0].to(device)
    batch = torch.randn(batch_size, 3, resolution, resolution, device=device)
    targets = torch.zeros(batch_size, CLASSES)
    loss = create_loss(run.loss, targets.to(torch.int8), None, torch.Generator())

    step = our_step(run, model, loss, batch, targets.to(device), compiled=False)
    step()  # to warm up

    activities = [ProfilerActivity.CPU]
    key = "self_cpu_time_total"
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
        key = "self_device_time_total"
    with profile(activities=activities) as profiled:
        step()
        synchronise(device)

    # Names of kernels are long: their beginning tells them apart.
    times = [(getattr(event, key), event.key[:80]) for event in profiled.key_averages()]
    total = sum(time for time, _ in times)
    slowest_first = sorted(times, key=lambda entry: -entry[0])
    return [f"{name} {100 * time / total:.0f} %" for time, name in slowest_first[:top]]


def main() -> None:
    given = parser(__doc__, batch=64, resolution=448, steps=8, repeats=3).parse_args()
    if not torch.cuda.is_available():
        print(
            "no GPU was found: nothing was measured. Run this on a machine with one.",
            file=sys.stderr,
        )
        sys.exit(2)

    device = torch.device("cuda")
    peak = matrix_rate(device)
    setting = Setting(given.resolution, given.batch, given.steps, given.repeats, device, peak)
    rows = []
    for name, (head, backbone) in MODELS.items():
        rows += measure(name, head, backbone, setting)

    write(
        "gpu",
        rows,
        __doc__,
        given.out,
        "cuda",
        matrix_rate=peak,
        batch=given.batch,
        profile=busiest(*MODELS[LARGEST], given.resolution, given.batch, device),
    )


if __name__ == "__main__":
    main()
