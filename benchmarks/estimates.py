"""Wall times of committed trainings predicted from multiply-accumulates and a measured throughput.

    python benchmarks/estimates.py

A training of P pictures and E epochs, which scores V validation pictures after each, is predicted as

    E (3 P + V) MACs / throughput

The MACs are the record's, of the whole network where pictures are read, and of the head alone where features or maps are
(the backbone's were paid once, at extraction). The throughput is measured here, now: a few training steps of the
same network, batch size and input size on random input, 3 x batch x MACs by their median seconds. What a step costs beyond its
products, the optimiser and Python, is in that; decoding, averaged weights and metrics are not, and neither is another load or
another machine than at the time of the record: an error says all of that together. Each network is measured once, with as many
threads as the record's training had. Linear heads were mostly trained as one grid (mlrepro.training.linear_search), a share of
whose time each record holds, so that a training of its own is predicted too long for them.
"""

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from common import parser, write
from torch import nn

from mlrepro.losses import create_loss
from mlrepro.models.backbones import map_size
from mlrepro.models.checkpoints import head_options
from mlrepro.models.classifier import create_classifier
from mlrepro.models.complexity import measure_cost
from mlrepro.models.heads import create_head
from mlrepro.results import Record, read_record
from mlrepro.training.fit import Training, train_step
from mlrepro.training.optimizers import create_optimizer

ROOT = Path(__file__).resolve().parents[1]
WITHIN, MINIMUM_SECONDS = 0.3, 1.0  # the goal; a shorter training is all overhead


def committed(root: Path) -> Iterator[tuple[str, Record]]:
    """Every record of a training in this repository whose network can be built without data (no label graph, no captions)."""
    for path in sorted([*root.glob("results/*/*.json"), *root.glob("studies/*/results/*/*.json")]):
        record = read_record(path)
        if record.history and not record.run.graph and not record.run.captions and not record.run.linear_init:
            yield path.relative_to(root).as_posix(), record


def build(record: Record) -> tuple[nn.Module, tuple[int, ...], float]:
    """(network, shape of one input, its GMACs): of the whole network, or of the head alone."""
    run, classes = record.run, len(record.selected.per_class)
    if run.inputs == "images":
        model, _ = create_classifier(run.model_copy(update={"weights": "none"}), classes)
        return model, (3, run.resolution, run.resolution), record.cost.gmacs
    whole = measure_cost(run, classes).gmacs
    backbone = create_classifier(run.model_copy(update={"weights": "none", "inputs": "images", "head": "gap",
                                                        "head_options": {}}), classes)[0].backbone
    maps = map_size(run.backbone, run.resolution)
    shape = (backbone.channels, *maps) if run.inputs == "maps" else (backbone.channels,)
    head = create_head(run.head, backbone.channels, classes, maps, **head_options(run))
    alone = run.model_copy(update={"head": "gap", "head_options": {}, "inputs": "images"})
    pooled = measure_cost(alone, classes).gmacs - backbone.channels * classes / 1e9  # the backbone's own
    return head, shape, max(whole - pooled, backbone.channels * classes / 1e9)


def throughput(record: Record, steps: int) -> tuple[float, float]:
    """(MACs a second of training, GMACs of one input) on random input."""
    run, classes = record.run, len(record.selected.per_class)
    model, shape, gmacs = build(record)
    batch = torch.randn(run.batch_size, *shape)
    batch = batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch
    targets = (torch.rand(run.batch_size, classes) < 0.1).to(torch.int8)
    targets[0], targets[1] = 1, 0
    settings = run.loss if run.loss.name in ("bce", "asl", "aam") else create_bce(run)
    loss = create_loss(settings, targets, 1.0, torch.Generator())
    optimizer, schedule = create_optimizer(run, model, loss, 10 * steps)
    training, rows = Training(model.train(), model, None, loss, optimizer, schedule), torch.arange(run.batch_size)
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        train_step(run, training, batch, targets, rows, torch.device("cpu"), "the benchmark")
        seconds.append(time.perf_counter() - start)
    return 3 * run.batch_size * gmacs * 1e9 / statistics.median(seconds[2:]), gmacs


def create_bce(run):
    """Its settings: what a loss that keeps labels of all training rows costs is not measured."""
    return type(run).model_validate(run.model_dump() | {"loss": {"name": "bce"}, "labels": "full"}).loss


def predict(record: Record, rate: float, gmacs: float) -> float:
    """Seconds."""
    epochs, splits = len(record.history), record.splits
    passes = 3 * splits["train"].used * (2 if record.run.optimizer.sam_rho else 1)
    validation = splits[record.run.validation].used if record.run.validation in splits else 0
    return epochs * (passes + validation) * gmacs * 1e9 / rate


def main() -> None:
    given = parser(__doc__, steps=8, root=ROOT).parse_args()
    rates, rows, threads = {}, [], torch.get_num_threads()
    for path, record in committed(given.root):
        run, environment = record.run, record.environment
        key = (run.inputs, run.head, json.dumps(run.head_options), run.backbone, run.resolution, run.batch_size,
               run.optimizer.name, bool(run.optimizer.sam_rho), environment.threads, len(record.selected.per_class))
        if key not in rates:
            torch.set_num_threads(environment.threads)
            rates[key] = throughput(record, given.steps)
            print(f"{run.head} on {run.inputs} of {run.backbone} {run.resolution}, {environment.threads} threads: "
                  f"{rates[key][0] / 1e9:.2f} GMAC/s", flush=True)
        predicted, actual = predict(record, *rates[key]), environment.train_seconds
        rows.append({"name": path, "kind": f"{run.head} on {run.inputs}", "predicted_s": predicted, "actual_s": actual,
                     "error": predicted / actual - 1, "short": actual < MINIMUM_SECONDS})
    torch.set_num_threads(threads)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        errors = [row["error"] for row in rows if row["kind"] == kind]
        within = sum(abs(error) <= WITHIN for error in errors)
        print(f"{kind}: {within} of {len(errors)} within 30 %, median error {100 * statistics.median(errors):+.0f} %")
    write("estimates", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
