"""Training and evaluation on a GPU: the package's step against a plain eager autocast loop.

    python benchmarks/gpu.py                 # exit code 2 where there is no GPU

For each model at 448 px: pictures a second of training in bfloat16, channels last, compiled or not, with and without SAM, by
the package's own `train_step`, and of the plain loop: eager, autocast, contiguous pictures, zero_grad, backward, step, with SAM
the usual two passes. Pictures are random and already on the GPU, so that loading is not measured (benchmarks/pictures.py does).
`share`: what the training's matrix operations (3 times the forward's multiply-accumulates; 6 with SAM) reach of the rate that the
card reaches here with one large bfloat16 product. Evaluation and feature extraction (the backbone alone) are forward passes, the
first in float32, as the package scores. `profile` names the kernels that the largest model's step spends its time in.
"""

import statistics
import sys
import time
from functools import partial

import torch
from common import parser, write
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from mlrepro.losses import create_loss
from mlrepro.models.classifier import create_classifier
from mlrepro.models.complexity import measure_cost
from mlrepro.settings.run import Run
from mlrepro.training.optimizers import create_optimizer
from mlrepro.training.precision import autocast
from mlrepro.training.state import TrainingState
from mlrepro.training.step import Batch, train_step

MODELS = {
    "ResNet-101": ("gap", "resnet101"),
    "EfficientNetV2-s + ML-Decoder": ("ml_decoder", "tf_efficientnetv2_s"),
    "TResNet-L + ML-Decoder": ("ml_decoder", "tresnet_l"),
}
RHO, CLASSES, WARM_UP = 0.05, 80, 3


def create_run(head: str, backbone: str, resolution: int, batch: int, sam: bool) -> Run:
    optimizer = {"name": "sgd", "lr": 1e-3, "momentum": 0.9} | ({"sam_rho": RHO} if sam else {})
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
            "epochs": 1,
            "batch_size": batch,
        }
    )


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(step, batch: int, steps: int, repeats: int, device: torch.device) -> float:
    """Pictures a second: the median of `repeats` times `steps` steps, after a warm-up."""
    rates = []
    for count in [WARM_UP] + [steps] * repeats:
        synchronise(device)
        start = time.perf_counter()
        for _ in range(count):
            step()
        synchronise(device)
        rates.append(batch * count / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def matrix_rate(device: torch.device, size: int = 8192, repeats: int = 20) -> float:
    """Multiply-accumulates a second of one bfloat16 product of two square matrices."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return rate(lambda: a @ b, 1, repeats, 3, device) * size**3


def our_step(
    run: Run, model: nn.Module, loss: nn.Module, batch: Tensor, targets: Tensor, compiled: bool
):
    optimizer, schedule = create_optimizer(run, model, loss, 1)
    forward = torch.compile(model) if compiled else model
    state = TrainingState(model, forward, None, loss, optimizer, schedule)
    model.to(memory_format=torch.channels_last).train()
    rows = torch.arange(len(batch), device=batch.device)
    pictures = batch.contiguous(memory_format=torch.channels_last)
    return partial(train_step, run, state, Batch(pictures, targets, rows), "the benchmark")


def plain_step(run: Run, model: nn.Module, loss: nn.Module, batch: Tensor, targets: Tensor):
    optimizer, _ = create_optimizer(run, model, loss, 1)
    model.to(memory_format=torch.contiguous_format).train()

    def backward() -> None:
        optimizer.zero_grad()
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
            logits = model(batch)
        loss(logits.float(), targets, None).backward()

    def step() -> None:
        backward()
        if run.optimizer.sam_rho:
            learned = [p for p in model.parameters() if p.grad is not None]
            norm = torch.stack([p.grad.norm() for p in learned]).norm() + 1e-12
            moves = [p.grad * (run.optimizer.sam_rho / norm) for p in learned]
            with torch.no_grad():
                for p, move in zip(learned, moves, strict=True):
                    p.add_(move)
            backward()
            with torch.no_grad():
                for p, move in zip(learned, moves, strict=True):
                    p.sub_(move)
        optimizer.step()

    return step


def measure(
    name: str,
    head: str,
    backbone: str,
    resolution: int,
    batch_size: int,
    steps: int,
    repeats: int,
    peak: float,
    device: torch.device,
    compiles: tuple[bool, ...] = (False, True),
) -> list[dict]:
    random = torch.Generator(device).manual_seed(0)
    batch = torch.randn(batch_size, 3, resolution, resolution, generator=random, device=device)
    targets = (torch.rand(batch_size, CLASSES, generator=random, device=device) < 0.04).to(
        torch.int8
    )
    rows = []
    for sam in (False, True):
        run = create_run(head, backbone, resolution, batch_size, sam)
        run = run.model_copy(update={"precision": "bfloat16"})
        model = create_classifier(run, CLASSES)[0].to(device)
        gmacs = measure_cost(run, CLASSES).gmacs
        loss = create_loss(run.loss, targets.cpu(), None, torch.Generator())
        usual = rate(
            plain_step(run, model, loss, batch, targets), batch_size, steps, repeats, device
        )
        for compiled in compiles:
            found = rate(
                our_step(run, model, loss, batch, targets, compiled),
                batch_size,
                steps,
                repeats,
                device,
            )
            share = found * gmacs * 1e9 * (6 if sam else 3) / peak
            rows.append(
                {
                    "name": f"{name}, training{' with SAM' * sam}{', compiled' * compiled}",
                    "unit": "pictures/s",
                    "ours": found,
                    "peer_rate": usual,
                    "peer": "plain eager autocast loop",
                    "ratio": found / usual,
                    "ratios": [found / usual],
                    "goal": 1.5,
                    "note": f"{100 * share:.0f} % of the card's matrix rate",
                }
            )
            print(rows[-1], flush=True)
    model.eval()
    pictures = batch.contiguous(memory_format=torch.channels_last)
    for title, function, precision in (
        ("evaluation, float32", model, "float32"),
        ("feature extraction, bfloat16", model.backbone, "bfloat16"),
    ):
        with torch.inference_mode(), autocast(device, precision):
            found = rate(
                lambda function=function: function(pictures), batch_size, steps, repeats, device
            )
        rows.append({"name": f"{name}, {title}", "unit": "pictures/s", "ours": found})
        print(rows[-1], flush=True)
    return rows


def busiest(
    head: str, backbone: str, resolution: int, batch_size: int, device: torch.device, top: int = 12
) -> list[str]:
    """The operations that one eager step spends most time in, each with its share."""
    run = create_run(head, backbone, resolution, batch_size, False).model_copy(
        update={"precision": "bfloat16"}
    )
    batch, targets = (
        torch.randn(batch_size, 3, resolution, resolution, device=device),
        torch.zeros(batch_size, CLASSES),
    )
    loss = create_loss(run.loss, targets.to(torch.int8), None, torch.Generator())
    step = our_step(
        run, create_classifier(run, CLASSES)[0].to(device), loss, batch, targets.to(device), False
    )
    step()
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=kinds) as profiled:
        step()
        synchronise(device)
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(profiled.key_averages(), key=lambda event: -getattr(event, key))
    total = sum(getattr(event, key) for event in events)
    return [f"{event.key[:80]} {100 * getattr(event, key) / total:.0f} %" for event in events[:top]]


def main() -> None:
    given = parser(__doc__, batch=64, resolution=448, steps=8, repeats=3).parse_args()
    if not torch.cuda.is_available():
        print(
            "no GPU was found: nothing was measured. Run this on a machine with one.",
            file=sys.stderr,
        )
        sys.exit(2)
    device, rows = torch.device("cuda"), []
    peak = matrix_rate(device)
    for name, (head, backbone) in MODELS.items():
        rows += measure(
            name,
            head,
            backbone,
            given.resolution,
            given.batch,
            given.steps,
            given.repeats,
            peak,
            device,
        )
    write(
        "gpu",
        rows,
        __doc__,
        given.out,
        "cuda",
        matrix_rate=peak,
        batch=given.batch,
        profile=busiest(*MODELS["TResNet-L + ML-Decoder"], given.resolution, given.batch, device),
    )


if __name__ == "__main__":
    main()
