"""The grid of the linear mode: trained together (mlrepro.training.linear_search) against one run after the other.

    python benchmarks/linear_search.py

The usual way: a DataLoader (default collate, in this process: with 4 workers it is several times slower on 2 cores) over a
TensorDataset of the features, a Python loop a run, nn.Linear, torch.optim.Adam, and the validation mAP after every epoch by
the same function. The two are measured in turn, several times, on the same synthetic features, and medians are compared.
Neither the last scoring of the test pictures nor what the paper's code does beyond (train and test mAP every epoch) counts.

The usual way is timed on a part of an epoch of one member for each loss and batch size (lr and seed do not change the time),
with one thread an operation or with all, whichever a short trial finds faster, and scaled by the number of steps and members.
The search trains all members, at COCO's size on a part of an epoch, too: its time is scaled as its threads' busy seconds.

Both ways also say how many cores they had, CPU seconds over seconds: where other programs ran, the search's two threads had less
than two, and the ratio of the CPU seconds, times two, is what a machine of its own would come near to.
"""

import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlrepro.data.images import shuffled_batches
from mlrepro.losses import create_loss
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.settings.losses import FULL_LABEL_LOSSES
from mlrepro.settings.run import Run
from mlrepro.training import linear_search
from mlrepro.training.optimizers import LOSS_LR_FACTOR

CHANNELS, LEARNING_RATES, BATCH_SIZES, REPEATS = 2048, (1e-2, 1e-3, 1e-4, 1e-5), (8, 16), 5
LOSSES = ("bce", "bce_ls", "iun", "an", "an_ls", "wan", "epr", "role")
# train, val, classes; pictures of an epoch that the search is timed on (none: all); steps of the usual way, and with ROLE
SIZES = {"VOC": (4574, 1143, 20, None, 200, 200), "COCO": (65665, 16416, 80, 1024, 100, 20)}
TEST = 256  # the search always scores a test split
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def create_data(train: int, val: int, classes: int):
    """Features, targets by labels, labels and rows, as `search` takes them."""
    random = np.random.default_rng(0)
    n = train + val + TEST
    labels = (random.random((n, classes)) < 2 / classes).astype(np.int8)
    labels[np.arange(n), random.integers(classes, size=n)] = 1
    rows = dict(
        zip(("train", "val", "test"), np.split(np.arange(n), [train, train + val]), strict=True)
    )
    full = labels[:train]
    single = np.zeros_like(full)
    single[np.arange(train), full.argmax(1)] = 1
    features = torch.randn(n, CHANNELS, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    return (
        features,
        {"full": torch.from_numpy(full), "single": torch.from_numpy(single)},
        labels,
        rows,
    )


def create_run(loss: str, lr: float, batch_size: int) -> Run:
    more = {"expected_positives": 1.5} if loss in ("epr", "role") else {}
    return Run.model_validate(
        {
            "data": "synthetic",
            "labels": "full" if loss in FULL_LABEL_LOSSES else "single",
            "inputs": "features",
            "head": "linear",
            "backbone": "resnet50",
            "weights": "none",
            "resolution": 448,
            "loss": {"name": loss} | more,
            "optimizer": {"lr": lr},
            "epochs": 1,
            "batch_size": batch_size,
        }
    )


def usual_step(run: Run, data, steps: int) -> dict[str, float]:
    """Seconds of a step by what they are spent on, with as many threads as are best for it."""
    threads, tried = torch.get_num_threads(), {}
    for count in {1, threads}:
        torch.set_num_threads(count)
        tried[count] = sum(usual_steps(run, data, steps // 5).values())
    torch.set_num_threads(min(tried, key=tried.get))
    spent = usual_steps(run, data, steps)
    torch.set_num_threads(threads)
    return spent


def usual_steps(run: Run, data, steps: int) -> dict[str, float]:
    features, targets, _, rows = data
    n, read = len(rows["train"]), targets[run.labels]
    loader = DataLoader(
        TensorDataset(features[:n].cpu(), read, torch.arange(n)),
        run.batch_size,
        shuffle=True,
        drop_last=True,
    )
    model = nn.Linear(CHANNELS, read.shape[1]).to(DEVICE)
    loss = create_loss(run.loss, read, None, torch.Generator().manual_seed(0)).to(DEVICE)
    lr = run.optimizer.lr
    optimizer = torch.optim.Adam(
        [{"params": model.parameters()}, {"params": loss.parameters(), "lr": LOSS_LR_FACTOR * lr}],
        lr,
    )
    spent, batches = defaultdict(float), iter(loader)
    for step in range(steps + 3):
        if step == 3:  # warm
            spent.clear()
        times = [now()]
        batch, labels, positions = (part.to(DEVICE) for part in next(batches))
        times.append(now())
        value = loss(model(batch), labels, positions)
        times.append(now())
        optimizer.zero_grad()
        value.backward()
        times.append(now())
        optimizer.step()
        times.append(now())
        for name, start, end in zip(
            ("loading", "forward and loss", "backward", "Adam"), times, times[1:], strict=False
        ):
            spent[name] += (end - start) / steps
    return spent


@torch.no_grad()
def usual_evaluation(data) -> float:
    """Seconds of one member's validation mAP."""
    features, _, labels, rows = data
    val = rows["val"]
    model = nn.Linear(CHANNELS, labels.shape[1]).to(DEVICE)
    loader = DataLoader(
        TensorDataset(features[val[0] : val[-1] + 1].cpu(), torch.from_numpy(labels[val])), 256
    )
    start = now()
    scores = [model(batch.to(DEVICE)).cpu().numpy() for batch, _ in loader]
    mean_average_precision(average_precision(np.concatenate(scores), labels[val]))
    return now() - start


def usual_epoch(losses: tuple[str, ...], data, steps: int, steps_role: int) -> dict[str, float]:
    """Seconds of one epoch of the whole grid by what they are spent on."""
    spent, n = defaultdict(float), len(data[3]["train"])
    for batch_size in BATCH_SIZES:
        for loss in losses:
            part = usual_step(
                create_run(loss, 1e-3, batch_size), data, steps_role if loss == "role" else steps
            )
            for name, seconds in part.items():
                spent[f"{name}{' of ROLE' if loss == 'role' else ''}"] += (
                    seconds * (n // batch_size) * len(LEARNING_RATES)
                )
    spent["evaluation"] = (
        usual_evaluation(data) * len(BATCH_SIZES) * len(losses) * len(LEARNING_RATES)
    )
    return spent


class Clock:
    """Adds up the seconds spent in functions of `linear_search`, which it wraps, and gives the functions back at its end."""

    def __init__(self, functions: list[tuple[object, str, str]]):
        self.functions, self.spent = functions, defaultdict(float)

    def __enter__(self):
        self.originals = [getattr(owner, name) for owner, name, _ in self.functions]
        for (owner, name, label), function in zip(self.functions, self.originals, strict=True):
            setattr(owner, name, self.timed(function, label))
        return self.spent

    def timed(self, function, label: str):
        def wrapper(*arguments):
            start = now()
            value = function(*arguments)
            self.spent[label] += now() - start
            return value

        return wrapper

    def __exit__(self, *_):
        for (owner, name, _), function in zip(self.functions, self.originals, strict=True):
            setattr(owner, name, function)


def search_epoch(
    losses: tuple[str, ...], data, part: int | None, detailed: bool = False
) -> dict[str, float]:
    """Seconds of one epoch of the whole grid by what they are spent on. part: train so many of its pictures and scale."""
    stack, n = linear_search.Stack, len(data[3]["train"])
    parts = [
        (stack, "gather", "gather"),
        (stack, "forward", "forward"),
        (stack, "differentiate", "loss"),
        (stack, "values", "loss"),
        (stack, "update", "backward and Adam"),
    ]
    functions = [
        *(parts if detailed else []),
        (stack, "train_epoch", "training"),
        (linear_search, "_score", "evaluation"),
        (stack, "diagnostics", "evaluation"),
        (stack, "__init__", "setup"),
    ]
    members = [
        (create_run(loss, lr, size), 0)
        for size in BATCH_SIZES
        for loss in losses
        for lr in LEARNING_RATES
    ]
    linear_search.shuffled_batches = lambda *arguments: shuffled_batches(*arguments)[
        : part and part // arguments[1]
    ]
    with Clock(functions) as spent:
        start = now()
        linear_search.search(members, *data)
        wall = now() - start
    linear_search.shuffled_batches = shuffled_batches
    busy = (
        spent["training"] + spent["evaluation"] + spent.pop("setup")
    )  # once a training, and not an epoch
    scaled = {
        name: value * (n / part if part and name != "evaluation" else 1)
        for name, value in spent.items()
    }
    factor = wall / busy  # threads work at the same time, and the search does a little else
    scaled = {name: value * factor for name, value in scaled.items()}
    if detailed:
        training = scaled.pop("training")
        rest = "label estimates and other" if "role" in losses else "other"
        scaled[rest] = training - sum(
            value for name, value in scaled.items() if name != "evaluation"
        )
    return scaled


def median(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(part[name] for part in parts) for name in parts[0]}


def without_role(usual: dict[str, float]) -> dict[str, float]:
    left = {name: seconds for name, seconds in usual.items() if not name.endswith("of ROLE")}
    return left | {"evaluation": usual["evaluation"] * (len(LOSSES) - 1) / len(LOSSES)}


def with_cores(function, *arguments) -> tuple[dict[str, float], float]:
    """What `function` returns, and how many cores this process had meanwhile."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = function(*arguments)
    return value, (time.process_time() - cpu) / (time.perf_counter() - wall)


def measure(size: str, data) -> list[dict]:
    """One result for the grid with ROLE, one for the grid without."""
    part, steps, steps_role = SIZES[size][3:]
    grids = {"with ROLE": LOSSES, "without ROLE": tuple(loss for loss in LOSSES if loss != "role")}
    usual, search, cores = defaultdict(list), defaultdict(list), defaultdict(list)
    for _ in range(REPEATS):
        epoch, usual_cores = with_cores(usual_epoch, LOSSES, data, steps, steps_role)
        for grid, losses in grids.items():
            usual[grid].append(epoch if "role" in losses else without_role(epoch))
            parts, search_cores = with_cores(search_epoch, losses, data, part)
            search[grid].append(parts)
            cores[grid].append((usual_cores, search_cores))
    results = []
    for grid, losses in grids.items():
        seconds = [[sum(parts.values()) for parts in way[grid]] for way in (usual, search)]
        ratios = [u / s for u, s in zip(*seconds, strict=True)]
        results.append(
            {
                "size": size,
                "grid": grid,
                "losses": losses,
                "members": len(losses) * len(LEARNING_RATES) * len(BATCH_SIZES),
                "usual_s": statistics.median(seconds[0]),
                "search_s": statistics.median(seconds[1]),
                "ratios": sorted(ratios),
                "cores": [statistics.median(way) for way in zip(*cores[grid], strict=True)],
                "cpu_ratios": sorted(
                    ratio * u / s for ratio, (u, s) in zip(ratios, cores[grid], strict=True)
                ),
                "usual_parts_s": median(usual[grid]),
                "search_parts_s": search_epoch(losses, data, part, detailed=True),
            }
        )
    return results


def shares(parts: dict[str, float]) -> str:
    total = sum(parts.values())
    return ", ".join(
        f"{name} {100 * value / total:.0f} %"
        for name, value in sorted(parts.items(), key=lambda item: -item[1])
    )


def main() -> None:
    begin, results = time.perf_counter(), []
    for size, (train, val, classes, *_) in SIZES.items():
        data = create_data(train, val, classes)
        results += measure(size, data)
    machine = (
        torch.cuda.get_device_name()
        if DEVICE.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(
        f"{machine}, torch {torch.__version__}; seconds an epoch of the whole grid, medians of {REPEATS} repeats in turn; "
        "the usual way and COCO's search scaled from a part of an epoch\n"
    )
    print(
        "| features | members | grid | usual way, s (cores) | search, s (cores) | ratio (range) | of CPU seconds |\n"
        "|---|---|---|---|---|---|---|"
    )
    for r in results:
        print(
            f"| {r['size']} | {r['members']} | {r['grid']} | {r['usual_s']:.1f} ({r['cores'][0]:.1f}) | {r['search_s']:.2f} "
            f"({r['cores'][1]:.1f}) | {statistics.median(r['ratios']):.1f} ({r['ratios'][0]:.1f} to {r['ratios'][-1]:.1f}) | "
            f"{statistics.median(r['cpu_ratios']):.1f} |"
        )
    print("\n| features | grid | way | what its time is spent on |\n|---|---|---|---|")
    for r in results:
        for way, parts in (("usual", r["usual_parts_s"]), ("search", r["search_parts_s"])):
            print(f"| {r['size']} | {r['grid']} | {way} | {shares(parts)} |")
    path = (
        Path(__file__).parent
        / "results"
        / f"linear_search-{DEVICE.type}-torch{torch.__version__.split('+')[0]}.json"
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "machine": machine,
                "torch": torch.__version__,
                "repeats": REPEATS,
                "sizes": SIZES,
                "results": results,
            },
            indent=1,
        )
        + "\n"
    )
    print(f"\n{path.name}, measured in {time.perf_counter() - begin:.0f} s")


main()
