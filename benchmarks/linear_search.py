"""The grid of the linear mode: trained together (mlrepro.training.grid) or run after run.

    python benchmarks/linear_search.py

The usual way: a DataLoader (default collate, in this process: with 4 workers it is several times
slower on 2 cores) over a TensorDataset of the features, a Python loop a run, nn.Linear,
torch.optim.Adam, and the validation mAP after every epoch by the same function. The two are
measured in turn, several times, on the same synthetic features, and medians are compared. Neither
the last scoring of the test pictures nor what the paper's code does beyond (train and test mAP
every epoch) counts.

The usual way is timed on a part of an epoch of one member for each loss and batch size (lr and seed
do not change the time), with one thread an operation or with all, whichever a short trial finds
faster, and scaled by the number of steps and members. The search trains all members, at COCO's size
on a part of an epoch, too: its time is scaled as its threads' busy seconds.

Both ways also say how many cores they had, CPU seconds over seconds: where other programs ran, the
search's two threads had less than two, and the ratio of the CPU seconds, times two, is what a
machine of its own would come near to.
"""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlrepro.data.samplers import shuffled_batches
from mlrepro.losses import create_loss
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.settings.losses import FULL_LABEL_LOSSES
from mlrepro.settings.run import Run
from mlrepro.training.grid import search as grid_search
from mlrepro.training.grid import stack as grid_stack
from mlrepro.training.grid.data import GridData
from mlrepro.training.grid.layers import StackedLayers
from mlrepro.training.grid.stack import Stack
from mlrepro.training.grid.tabulated import TabulatedLosses
from mlrepro.training.optimizers.create import LOSS_LR_FACTOR

CHANNELS = 2048  # ResNet-50's
LEARNING_RATES = (1e-2, 1e-3, 1e-4, 1e-5)
BATCH_SIZES = (8, 16)
REPEATS = 5  # of each way, in turn; the median counts
LOSSES = ("bce", "bce_ls", "iun", "an", "an_ls", "wan", "epr", "role")
WITHOUT_ROLE = tuple(loss for loss in LOSSES if loss != "role")
TEST = 256  # pictures: the search always scores a test split
WARM_STEPS = 3  # before those that are timed
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
RESULTS = Path(__file__).parent / "results"

# Functions of the search, as (owner, name, what their time is counted as). The parts of a step are
# only timed where they are asked for: the clock itself takes time.
SEARCH_STEPS = [
    (Stack, "train_epoch", "training"),
    (grid_search, "score_members", "evaluation"),
    (Stack, "diagnostics", "evaluation"),
    (Stack, "__init__", "setup"),
]
PARTS_OF_A_STEP = [
    (Stack, "gather", "gather"),
    (TabulatedLosses, "factors", "gather"),
    (StackedLayers, "forward", "forward"),
    (TabulatedLosses, "differentiate", "loss"),
    (TabulatedLosses, "values", "loss"),
    (StackedLayers, "update", "backward and Adam"),
]


@dataclass(frozen=True)
class Size:
    """A data set. searched: pictures of an epoch that the search is timed on (none: all).

    steps: of the usual way; steps_role: with ROLE.
    """

    train: int
    val: int
    classes: int
    searched: int | None
    steps: int
    steps_role: int


SIZES = {
    "VOC": Size(4574, 1143, 20, None, 200, 200),
    "COCO": Size(65665, 16416, 80, 1024, 100, 20),
}


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def create_data(size: Size) -> GridData:
    """Random features, about three labels a picture, and one of them observed."""
    random = np.random.default_rng(0)
    n = size.train + size.val + TEST
    drawn = random.random((n, size.classes)) < 2 / size.classes
    labels = drawn.astype(np.int8)
    one_for_certain = random.integers(size.classes, size=n)
    labels[np.arange(n), one_for_certain] = 1

    train, val, test = np.split(np.arange(n), [size.train, size.train + size.val])
    full = labels[train]
    single = np.zeros_like(full)
    first_label = full.argmax(1)
    single[train, first_label] = 1

    features = torch.randn(n, CHANNELS, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    targets = {"full": torch.from_numpy(full), "single": torch.from_numpy(single)}
    return GridData(features, targets, labels, {"train": train, "val": val, "test": test})


def create_run(loss: str, lr: float, batch_size: int) -> Run:
    settings = {"name": loss}
    if loss in ("epr", "role"):
        settings["expected_positives"] = 1.5
    return Run.model_validate(
        {
            "data": "synthetic",
            "labels": "full" if loss in FULL_LABEL_LOSSES else "single",
            "inputs": "features",
            "head": "linear",
            "backbone": "resnet50",
            "weights": "none",
            "resolution": 448,
            "loss": settings,
            "optimizer": {"lr": lr},
            "epochs": 1,
            "batch_size": batch_size,
        }
    )


# ---- The usual way -----------------------------------------------------------------------------


def usual_step(run: Run, data: GridData, steps: int) -> dict[str, float]:
    """Seconds of a step by what they are spent on, with as many threads as are best for it."""
    threads = torch.get_num_threads()

    tried = {}
    for count in {1, threads}:
        torch.set_num_threads(count)
        tried[count] = sum(usual_steps(run, data, steps // 5).values())

    torch.set_num_threads(min(tried, key=tried.get))
    spent = usual_steps(run, data, steps)
    torch.set_num_threads(threads)
    return spent


def usual_steps(run: Run, data: GridData, steps: int) -> dict[str, float]:
    """Seconds of a step, a mean over `steps`, after a few to warm up."""
    n = len(data.rows["train"])
    targets = data.targets_by_labels[run.labels]
    loader = DataLoader(
        TensorDataset(data.features[:n].cpu(), targets, torch.arange(n)),
        run.batch_size,
        shuffle=True,
        drop_last=True,
    )
    model = nn.Linear(CHANNELS, targets.shape[1]).to(DEVICE)
    loss = create_loss(run.loss, targets, None, torch.Generator().manual_seed(0)).to(DEVICE)
    lr = run.optimizer.lr
    groups = [
        {"params": model.parameters()},
        {"params": loss.parameters(), "lr": LOSS_LR_FACTOR * lr},
    ]
    optimizer = torch.optim.Adam(groups, lr)

    spent = defaultdict(float)
    batches = iter(loader)
    for step in range(steps + WARM_STEPS):
        if step == WARM_STEPS:
            spent.clear()

        start = now()
        batch, labels, positions = (part.to(DEVICE) for part in next(batches))
        loaded = now()
        value = loss(model(batch), labels, positions)
        computed = now()
        optimizer.zero_grad()
        value.backward()
        differentiated = now()
        optimizer.step()
        stepped = now()

        spent["loading"] += (loaded - start) / steps
        spent["forward and loss"] += (computed - loaded) / steps
        spent["backward"] += (differentiated - computed) / steps
        spent["Adam"] += (stepped - differentiated) / steps
    return spent


@torch.no_grad()
def usual_evaluation(data: GridData) -> float:
    """Seconds of one member's validation mAP."""
    val = data.rows["val"]
    labels = data.labels_of("val")
    model = nn.Linear(CHANNELS, data.classes).to(DEVICE)
    features = data.features[val[0] : val[-1] + 1].cpu()  # one behind the other: no copy
    loader = DataLoader(TensorDataset(features, torch.from_numpy(labels)), 256)

    start = now()
    scores = [model(batch.to(DEVICE)).cpu().numpy() for batch, _ in loader]
    mean_average_precision(average_precision(np.concatenate(scores), labels))
    return now() - start


def usual_epoch(data: GridData, size: Size) -> dict[str, float]:
    """Seconds of one epoch of the whole grid by what they are spent on."""
    spent = defaultdict(float)
    for batch_size in BATCH_SIZES:
        steps_an_epoch = size.train // batch_size
        for loss in LOSSES:
            steps = size.steps_role if loss == "role" else size.steps
            suffix = " of ROLE" if loss == "role" else ""
            step = usual_step(create_run(loss, 1e-3, batch_size), data, steps)

            # Of one learning rate, for all take as long.
            for name, seconds in step.items():
                spent[name + suffix] += seconds * steps_an_epoch * len(LEARNING_RATES)

    members = len(BATCH_SIZES) * len(LOSSES) * len(LEARNING_RATES)
    spent["evaluation"] = usual_evaluation(data) * members
    return spent


def without_role(usual: dict[str, float]) -> dict[str, float]:
    """Of the whole grid's seconds those of the losses but ROLE; all losses are scored alike."""
    left = {name: seconds for name, seconds in usual.items() if not name.endswith("of ROLE")}
    share = len(WITHOUT_ROLE) / len(LOSSES)
    return left | {"evaluation": usual["evaluation"] * share}


# ---- The search --------------------------------------------------------------------------------


class Clock:
    """Adds up the seconds spent in functions, which it wraps, and gives back at its end."""

    def __init__(self, functions: list[tuple[object, str, str]]):
        self.functions = functions
        self.spent = defaultdict(float)

    def __enter__(self) -> dict[str, float]:
        self.originals = [getattr(owner, name) for owner, name, _ in self.functions]
        for (owner, name, label), function in zip(self.functions, self.originals, strict=True):
            setattr(owner, name, self.timed(function, label))
        return self.spent

    def timed(self, function: Callable, label: str) -> Callable:
        def wrapper(*arguments):
            start = now()
            value = function(*arguments)
            self.spent[label] += now() - start
            return value

        return wrapper

    def __exit__(self, *_) -> None:
        for (owner, name, _), function in zip(self.functions, self.originals, strict=True):
            setattr(owner, name, function)


def search_epoch(
    losses: tuple[str, ...], data: GridData, searched: int | None, detailed: bool = False
) -> dict[str, float]:
    """Seconds of one epoch of the whole grid by what they are spent on.

    searched: train so many of its pictures, and scale.
    """
    members = []
    for batch_size, loss, lr in product(BATCH_SIZES, losses, LEARNING_RATES):
        members.append((create_run(loss, lr, batch_size), 0))

    def first_batches(n: int, batch_size: int, *draw):
        batches = shuffled_batches(n, batch_size, *draw)
        return batches[: searched // batch_size] if searched else batches

    functions = PARTS_OF_A_STEP + SEARCH_STEPS if detailed else SEARCH_STEPS
    grid_stack.shuffled_batches = first_batches
    with Clock(functions) as spent:
        start = now()
        grid_search.search(members, data)
        wall = now() - start
    grid_stack.shuffled_batches = shuffled_batches

    # The setup is once a training, and not an epoch.
    busy = spent["training"] + spent["evaluation"] + spent.pop("setup")
    # Threads work at the same time, and the search does a little else.
    factor = wall / busy
    epoch_over_part = len(data.rows["train"]) / searched if searched else 1
    scaled = {}
    for name, seconds in spent.items():
        scale = 1 if name == "evaluation" else epoch_over_part
        scaled[name] = seconds * scale * factor

    if detailed:
        training = scaled.pop("training")
        rest = "label estimates and other" if "role" in losses else "other"
        timed = sum(seconds for name, seconds in scaled.items() if name != "evaluation")
        scaled[rest] = training - timed
    return scaled


# ---- The comparison ----------------------------------------------------------------------------


def with_cores(function: Callable, *arguments) -> tuple[dict[str, float], float]:
    """What `function` returns, and how many cores this process had meanwhile."""
    wall = time.perf_counter()
    cpu = time.process_time()
    value = function(*arguments)
    cpu_seconds = time.process_time() - cpu
    seconds = time.perf_counter() - wall
    return value, cpu_seconds / seconds


def medians(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(part[name] for part in parts) for name in parts[0]}


def measure(name: str, data: GridData) -> list[dict]:
    """One result for the grid with ROLE, one for the grid without."""
    size = SIZES[name]
    grids = {"with ROLE": LOSSES, "without ROLE": WITHOUT_ROLE}

    usual = defaultdict(list)
    search = defaultdict(list)
    cores = defaultdict(list)
    for _ in range(REPEATS):
        usual_parts, usual_cores = with_cores(usual_epoch, data, size)
        for grid, losses in grids.items():
            usual[grid].append(usual_parts if "role" in losses else without_role(usual_parts))
            search_parts, search_cores = with_cores(search_epoch, losses, data, size.searched)
            search[grid].append(search_parts)
            cores[grid].append((usual_cores, search_cores))

    return [
        {
            "size": name,
            "grid": grid,
            "losses": losses,
            "members": len(losses) * len(LEARNING_RATES) * len(BATCH_SIZES),
            **compared(usual[grid], search[grid], cores[grid]),
            "usual_parts_s": medians(usual[grid]),
            "search_parts_s": search_epoch(losses, data, size.searched, detailed=True),
        }
        for grid, losses in grids.items()
    ]


def compared(
    usual: list[dict[str, float]],
    search: list[dict[str, float]],
    cores: list[tuple[float, float]],
) -> dict:
    """Seconds of both ways, and their ratios; an element of each list a repeat."""
    usual_seconds = [sum(parts.values()) for parts in usual]
    search_seconds = [sum(parts.values()) for parts in search]
    ratios = [u / s for u, s in zip(usual_seconds, search_seconds, strict=True)]

    # CPU seconds are seconds times the cores that a way had.
    cpu_ratios = []
    for ratio, (usual_cores, search_cores) in zip(ratios, cores, strict=True):
        cpu_ratios.append(ratio * usual_cores / search_cores)
    return {
        "usual_s": statistics.median(usual_seconds),
        "search_s": statistics.median(search_seconds),
        "ratios": sorted(ratios),
        "cores": [statistics.median(way) for way in zip(*cores, strict=True)],
        "cpu_ratios": sorted(cpu_ratios),
    }


# ---- What is printed and written ---------------------------------------------------------------


def shares(parts: dict[str, float]) -> str:
    total = sum(parts.values())
    largest_first = sorted(parts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in largest_first)


def print_tables(machine: str, results: list[dict]) -> None:
    print(
        f"{machine}, torch {torch.__version__}; seconds an epoch of the whole grid, medians of "
        f"{REPEATS} repeats in turn; the usual way and COCO's search scaled from a part of an "
        "epoch\n"
    )
    print(
        "| features | members | grid | usual way, s (cores) | search, s (cores) | ratio (range) "
        "| of CPU seconds |\n"
        "|---|---|---|---|---|---|---|"
    )
    for result in results:
        usual_cores, search_cores = result["cores"]
        ratios = result["ratios"]
        cells = [
            result["size"],
            str(result["members"]),
            result["grid"],
            f"{result['usual_s']:.1f} ({usual_cores:.1f})",
            f"{result['search_s']:.2f} ({search_cores:.1f})",
            f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})",
            f"{statistics.median(result['cpu_ratios']):.1f}",
        ]
        print(f"| {' | '.join(cells)} |")

    print("\n| features | grid | way | what its time is spent on |\n|---|---|---|---|")
    for result in results:
        for way in ("usual", "search"):
            parts = shares(result[f"{way}_parts_s"])
            print(f"| {result['size']} | {result['grid']} | {way} | {parts} |")


def main() -> None:
    begin = time.perf_counter()
    results = []
    for name, size in SIZES.items():
        results += measure(name, create_data(size))

    if DEVICE.type == "cuda":
        machine = torch.cuda.get_device_name()
    else:
        machine = f"CPU, {torch.get_num_threads()} threads"
    print_tables(machine, results)

    version = torch.__version__.split("+")[0]
    path = RESULTS / f"linear_search-{DEVICE.type}-torch{version}.json"
    written = {
        "machine": machine,
        "torch": torch.__version__,
        "repeats": REPEATS,
        "sizes": {
            name: [s.train, s.val, s.classes, s.searched, s.steps, s.steps_role]
            for name, s in SIZES.items()
        },
        "results": results,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(written, indent=1) + "\n")
    print(f"\n{path.name}, measured in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
