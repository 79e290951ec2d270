"""Members trained together against each trained alone, and the files of the search stage.

Also ROLE's lazy Adam against the dense one, and a member that diverges.
"""

import csv
import hashlib
import shutil
import threading

import numpy as np
import pytest
import torch
import yaml
from conftest import stage, write_yaml

from mlrepro import cores
from mlrepro.environments import read_environment
from mlrepro.errors import InputError
from mlrepro.judging import record_shortfalls
from mlrepro.layout import read_layout
from mlrepro.losses import create_loss
from mlrepro.models.heads import create_head
from mlrepro.records import read_records
from mlrepro.settings.losses import FULL_LABEL_LOSSES
from mlrepro.settings.run import Run
from mlrepro.studies.runs import put_back_searched
from mlrepro.training.checkpoint import Checkpoint
from mlrepro.training.fit import fit
from mlrepro.training.grid import search as grid_search
from mlrepro.training.grid.data import GridData
from mlrepro.training.grid.lazy_adam import ADAM_EPSILON, LazyAdam
from mlrepro.training.grid.search import search
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.job import TrainingJob
from mlrepro.training.targets import expected_positives
from mlrepro.training.task import Task

PICTURES = {"train": 90, "val": 80, "test": 60}
CHANNELS = 64
CLASSES = 12

# Loss -> its settings.
LOSSES = {
    "bce": {},
    "bce_ls": {},
    "asl": {},
    "iu": {},
    "iun": {},
    "pr": {},
    "an": {},
    "an_ls": {},
    "wan": {},
    "splc": {},
    "hill": {},
    "gr": {},
    "epr": {"expected_positives": 1.5},
    "role": {"expected_positives": "validation"},
    "em": {"alpha": 0.2},
    "em_apl": {"alpha": 0.2, "beta": 0.5, "warm_up": 1},
    "ll_r": {"delta_rel": 5},
    "ll_cp": {"delta_rel": 5},
}


@pytest.fixture(autouse=True)
def one_thread():
    """Operations as short as these only wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(loss: str, lr: float = 1e-3, batch_size: int = 8, **changes) -> Run:
    fields = {
        "data": "made_up",
        "labels": "full" if loss in FULL_LABEL_LOSSES else "single",
        "inputs": "features",
        "head": "linear",
        "backbone": "resnet50",
        "weights": "none",
        "resolution": 224,
        "loss": {"name": loss} | LOSSES[loss],
        "optimizer": {"name": "adam", "lr": lr},
        "epochs": 3,
        "batch_size": batch_size,
    }
    return Run.model_validate(fields | changes)


@pytest.fixture(scope="module")
def data() -> GridData:
    """Features that tell something about the labels."""
    random = np.random.default_rng(0)
    n = sum(PICTURES.values())
    labels = (random.random((n, CLASSES)) < 0.2).astype(np.int8)
    labels[np.arange(n), random.integers(CLASSES, size=n)] = 1
    features = labels @ random.normal(size=(CLASSES, CHANNELS)) + random.normal(size=(n, CHANNELS))

    order = random.permutation(n)
    rows, start = {}, 0
    for split, count in PICTURES.items():
        rows[split] = np.sort(order[start : start + count])
        start += count

    full = labels[rows["train"]]
    pictures = np.arange(len(full))
    single = np.zeros_like(full)
    single[pictures, [random.choice(np.flatnonzero(row)) for row in full]] = 1
    single[::7][full[::7] == 0] = -1  # some known negatives
    full[3, 4] = full[10, 0] = -1  # and some ignored labels
    iu = single.copy()
    iu[pictures, [random.choice(np.flatnonzero(row != 1)) for row in full]] = -1

    targets = {"full": full, "single": single, "iu": iu}
    return GridData(
        torch.from_numpy(features.astype(np.float32)),
        {name: torch.from_numpy(values) for name, values in targets.items()},
        labels,
        rows,
    )


def train_alone(run: Run, seed: int, data: GridData):
    """Progress and last weights of `fit` on one member, prepared as `train_run` does."""
    torch.manual_seed(seed)
    model = create_head("linear", CHANNELS, CLASSES, None)

    targets = data.targets_by_labels
    read = targets["iu" if run.loss.name == "iu" else run.labels]
    if run.loss.name == "iun":
        read = torch.where((read == 0) & (targets["full"] == 0), -1, read)
    k = expected_positives(run, data.labels, data.rows["val"])
    loss = create_loss(run.loss, read, k, torch.Generator().manual_seed(seed))

    cpu = torch.device("cpu")
    checkpoint = Checkpoint(f"{run.run_id}-{run.optimizer.lr}-{run.batch_size}-s{seed}", {})
    task = Task(model, FeatureInputs(data.features, cpu))
    job = TrainingJob(run, seed, task, loss, read, data.labels, data.rows, cpu)
    progress = fit(job, checkpoint)
    return progress, model.state_dict()


def assert_close(weights, expected) -> None:
    for name in expected:
        assert weights[name].shape == expected[name].shape
        assert (weights[name] - expected[name]).norm() <= 1e-4 * expected[name].norm()


def test_each_member_gets_what_it_gets_alone(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = [
        (settings(loss, lr, batch_size), seed)
        for loss in LOSSES
        for lr, batch_size, seed in ((1e-2, 8, 0), (1e-3, 8, 1), (1e-4, 16, 1))
    ]

    for (run, seed), outcome in zip(grid, search(grid, data), strict=True):
        progress, last = train_alone(run, seed, data)
        assert (outcome.run, outcome.seed) == (run, seed)
        assert outcome.diverged is None
        assert_close(outcome.last, last)
        assert_close(outcome.best.weights, progress.best["weights"])
        assert outcome.best.epoch == progress.best["epoch"]

        for ours, theirs in zip(outcome.history, progress.history, strict=True):
            assert list(ours) == list(theirs)
            assert ("estimate_mAP" in ours) == (run.loss.name == "role")
            for name in ours:
                tolerance = {"abs": 0.01} if "mAP" in name else {"rel": 1e-4}
                assert ours[name] == pytest.approx(theirs[name], **tolerance)


def test_rows_without_gradient_move_as_under_the_dense_adam():
    """Over several epochs and past LAG steps between two visits.

    Gradients are also as small as Adam's epsilon.
    """
    n = 250
    batch = 1
    lr = torch.tensor([0.1, 1e-3])
    generator = torch.Generator().manual_seed(0)
    size = torch.logspace(-9, 0, 5)[:, None] * torch.tensor([1.0, 1.0])  # of each class's gradients
    start = torch.randn(n, 5, 2, generator=generator)

    lazy = LazyAdam(start, lr)
    dense = [start[..., i].double().requires_grad_() for i in range(2)]
    groups = [{"params": [dense[i]], "lr": lr[i].item()} for i in range(2)]
    optimizer = torch.optim.Adam(groups, eps=ADAM_EPSILON)

    for _ in range(3):
        for steps in torch.randperm(n, generator=generator).view(-1, batch).split(10):
            read = lazy.read(steps)
            gradients = size * torch.randn(len(steps), batch, 5, 2, generator=generator)
            for rows, values, gradient in zip(steps, read, gradients, strict=True):
                expected = torch.stack([values.detach()[rows] for values in dense], 2)
                assert torch.allclose(values.double(), expected, rtol=2e-6, atol=2e-6)

                for i, parameter in enumerate(dense):
                    zeros = torch.zeros_like(parameter)
                    parameter.grad = zeros.index_copy_(0, rows, gradient[..., i].double())
                optimizer.step()
            lazy.update(steps, gradients)


def test_stacks_train_a_core_each(data, monkeypatch):
    """Whatever this process has computed with before: here one thread."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "usable_cores", lambda: 2)
    both_are_there = threading.Barrier(2)
    train_stack = grid_search.train_stack

    def wait_and_train(*arguments):
        both_are_there.wait(timeout=60)
        train_stack(*arguments)

    monkeypatch.setattr(grid_search, "train_stack", wait_and_train)
    outcomes = search([(settings("bce"), 0), (settings("bce"), 1)], data)
    assert all(outcome.last for outcome in outcomes)
    assert torch.get_num_threads() == 1, "as before"


def test_diverged_member_leaves_the_others_alone(data):
    good = settings("an", 1e-2), 0
    bad = settings("an_ls", 1e38), 0
    together, diverged = search([good, bad], data)
    (alone,) = search([good], data)

    assert diverged.diverged == 0
    assert diverged.best is None
    assert not diverged.test_mAP
    assert together.diverged is None
    assert set(together.test_mAP) == {"best", "last"}
    assert torch.allclose(together.last["weight"], alone.last["weight"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "sgd", "lr": 0.1}},
        {"optimizer": {"lr": 0.1, "weight_decay": 0.1}},
        {"protocol": "released"},
        {"stop_below": 1.0},
    ],
)
def test_what_the_search_does_not_know(data, changes):
    with pytest.raises(InputError, match="the search"):
        search([(settings("an", **changes), 0)], data)


def test_stage_selects_on_validation_and_writes_records(repository, monkeypatch):
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    names = ("bce", "bce_ls", "iu", "iun", "an", "an_ls", "wan", "epr", "role")
    settings["search"] = {
        "losses": [{"name": name} | LOSSES[name] for name in names],
        "learning_rates": [1e-2, 1e-4],
        "batch_sizes": [16],
        "epochs": 2,
        "seeds": [0, 1],
    }
    write_yaml(repository / "params.yaml", settings)
    stage(repository, "search", "params.yaml")

    folder = repository / "outputs" / "demo" / "digits" / "search"
    with (folder / "grid.csv").open(encoding="utf-8") as file:
        grid = list(csv.DictReader(file))
    assert len(grid) == 9 * 2 * 2

    records = read_records(repository / "results" / "digits")
    assert len(records) == 9
    for run_id, group in records.items():
        assert [record.seed for record in group] == [0, 1]
        assert not record_shortfalls(group[0])
        for record in group:
            tried = [row for row in grid if (row["run"], row["seed"]) == (run_id, str(record.seed))]
            assert_is_best_of(record, tried)
            assert_weights_are_there(record, folder / f"{run_id}-s{record.seed}" / "training")

    # DVC does not know the records: it would not make again what somebody removes.
    results = repository / "results" / "digits"
    before = {path.name: path.read_bytes() for path in results.glob("*.json")}
    shutil.rmtree(results)
    monkeypatch.chdir(repository)
    layout = read_layout("params.yaml")
    put_back_searched(layout)
    after = {path.name: path.read_bytes() for path in results.glob("*.json")}
    # Two of the nine are runs of their own, too, whose evaluate stages make their records.
    assert len(layout.searched) == 7
    assert len(after) == 14
    assert after.items() <= before.items()


def assert_is_best_of(record, tried: list[dict]) -> None:
    """The record is of the grid's row with the highest mAP on validation."""
    chosen = max(tried, key=lambda row: float(row["val_mAP"]))
    assert record.run.optimizer.lr == float(chosen["lr"])
    assert record.run.batch_size == 16
    assert record.measurements["best"].epoch == int(chosen["best_epoch"])
    test_mAP = float(chosen["test_mAP_best"])
    assert record.selected.metrics["mAP"] == pytest.approx(test_mAP, abs=0.01)

    estimated = {epoch.estimate_mAP is not None for epoch in record.history}
    assert estimated == {record.run.loss.name == "role"}


def assert_weights_are_there(record, folder) -> None:
    weights = (folder / "best.safetensors").read_bytes()
    search = folder.parents[1]
    used = read_environment(search.with_name("search-environments") / f"{record.name}.json")
    assert used.weights_sha256["best"] == hashlib.sha256(weights).hexdigest()
    assert used.device
