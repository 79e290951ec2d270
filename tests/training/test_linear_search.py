"""Members trained together against each trained alone; ROLE's lazy Adam against the dense one; a member that diverges."""

import csv
import hashlib

import numpy as np
import pytest
import torch
import yaml
from conftest import stage, write_yaml

from mlrepro.config import FULL_LABEL_LOSSES, Run
from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.models.heads import create_head
from mlrepro.results import read_records
from mlrepro.training.checkpoint import Checkpoint
from mlrepro.training.fit import fit
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.linear_search import ADAM_EPSILON, LazyAdam, search
from mlrepro.training.run import expected_positives

PICTURES, CHANNELS, CLASSES = {"train": 90, "val": 80, "test": 60}, 64, 12
LOSSES = {
    name: {}
    for name in (
        "bce",
        "bce_ls",
        "asl",
        "iu",
        "iun",
        "pr",
        "an",
        "an_ls",
        "wan",
        "splc",
        "hill",
        "gr",
    )
}
LOSSES |= {
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
    labels = "full" if loss in FULL_LABEL_LOSSES else "single"
    return Run.model_validate(
        {
            "data": "made_up",
            "labels": labels,
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
        | changes
    )


@pytest.fixture(scope="module")
def data():
    """Features that tell something about the labels: (features, targets by labels, labels, rows)."""
    random = np.random.default_rng(0)
    n = sum(PICTURES.values())
    labels = (random.random((n, CLASSES)) < 0.2).astype(np.int8)
    labels[np.arange(n), random.integers(CLASSES, size=n)] = 1
    features = labels @ random.normal(size=(CLASSES, CHANNELS)) + random.normal(size=(n, CHANNELS))
    order, rows, start = random.permutation(n), {}, 0
    for split, count in PICTURES.items():
        rows[split] = np.sort(order[start : start + count])
        start += count
    full = labels[rows["train"]]
    single = np.zeros_like(full)
    single[np.arange(len(full)), [random.choice(np.flatnonzero(row)) for row in full]] = 1
    single[::7][full[::7] == 0] = -1  # some known negatives
    full[3, 4], full[10, 0] = -1, -1  # and some ignored labels
    iu = single.copy()
    iu[np.arange(len(full)), [random.choice(np.flatnonzero(row != 1)) for row in full]] = -1
    targets = {
        name: torch.from_numpy(values)
        for name, values in (("full", full), ("single", single), ("iu", iu))
    }
    return torch.from_numpy(features.astype(np.float32)), targets, labels, rows


def alone(run: Run, seed: int, data):
    """Progress and last weights of `fit` on one member, prepared as `train_run` does."""
    features, targets, labels, rows = data
    torch.manual_seed(seed)
    model = create_head("linear", CHANNELS, CLASSES, None)
    k = expected_positives(run, labels, rows["val"])
    read = targets["iu" if run.loss.name == "iu" else run.labels]
    if run.loss.name == "iun":
        read = torch.where((read == 0) & (targets["full"] == 0), -1, read)
    loss = create_loss(run.loss, read, k, torch.Generator().manual_seed(seed))
    cpu = torch.device("cpu")
    checkpoint = Checkpoint(f"{run.run_id}-{run.optimizer.lr}-{run.batch_size}-s{seed}", {})
    progress = fit(
        run,
        seed,
        model,
        loss,
        FeatureInputs(features, cpu),
        read,
        labels,
        rows,
        checkpoint,
        cpu,
        lambda _: None,
        lambda _: None,
    )
    return progress, model.state_dict()


def assert_close(weights, wanted) -> None:
    for name in wanted:
        assert weights[name].shape == wanted[name].shape
        assert (weights[name] - wanted[name]).norm() <= 1e-4 * wanted[name].norm()


def test_each_member_gets_what_it_gets_alone(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = [
        (settings(loss, lr, batch_size), seed)
        for loss in LOSSES
        for lr, batch_size, seed in ((1e-2, 8, 0), (1e-3, 8, 1), (1e-4, 16, 1))
    ]
    for (run, seed), outcome in zip(grid, search(grid, *data), strict=True):
        progress, last = alone(run, seed, data)
        assert (outcome.run, outcome.seed) == (run, seed) and outcome.diverged is None
        assert_close(outcome.last, last)
        assert_close(outcome.best["weights"], progress.best["weights"])
        assert outcome.best["epoch"] == progress.best["epoch"]
        for ours, theirs in zip(outcome.history, progress.history, strict=True):
            assert list(ours) == list(theirs) and ("estimate_mAP" in ours) == (
                run.loss.name == "role"
            )
            for name in ours:
                assert ours[name] == pytest.approx(
                    theirs[name], **({"abs": 0.01} if "mAP" in name else {"rel": 1e-4})
                )


def test_rows_without_gradient_move_as_under_the_dense_adam():
    """Over several epochs and past LAG steps between two visits, where gradients are as small as Adam's epsilon, too."""
    n, batch, lr = 250, 1, torch.tensor([0.1, 1e-3])
    generator = torch.Generator().manual_seed(0)
    size = torch.logspace(-9, 0, 5)[:, None] * torch.tensor([1.0, 1.0])  # of each class's gradients
    start = torch.randn(n, 5, 2, generator=generator)
    lazy, dense = LazyAdam(start, lr), [start[..., i].double().requires_grad_() for i in range(2)]
    optimizer = torch.optim.Adam(
        [{"params": [dense[i]], "lr": lr[i].item()} for i in range(2)], eps=ADAM_EPSILON
    )
    for _ in range(3):
        for steps in torch.randperm(n, generator=generator).view(-1, batch).split(10):
            read, gradients = (
                lazy.read(steps),
                size * torch.randn(len(steps), batch, 5, 2, generator=generator),
            )
            for rows, values, gradient in zip(steps, read, gradients, strict=True):
                wanted = torch.stack([values.detach()[rows] for values in dense], 2)
                assert torch.allclose(values.double(), wanted, rtol=2e-6, atol=2e-6)
                for i, parameter in enumerate(dense):
                    parameter.grad = torch.zeros_like(parameter).index_copy_(
                        0, rows, gradient[..., i].double()
                    )
                optimizer.step()
            lazy.update(steps, gradients)


def test_diverged_member_leaves_the_others_alone(data):
    good, bad = (settings("an", 1e-2), 0), (settings("an_ls", 1e38), 0)
    (together, diverged), (alone_,) = search([good, bad], *data), search([good], *data)
    assert diverged.diverged == 0 and diverged.best is None and not diverged.test_mAP
    assert together.diverged is None and set(together.test_mAP) == {"best", "last"}
    assert torch.allclose(together.last["weight"], alone_.last["weight"], rtol=1e-5, atol=1e-7)


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
        search([(settings("an", **changes), 0)], *data)


def test_stage_selects_on_validation_and_writes_records(repository):
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
    stage(repository, "search", "params.yaml", OMP_NUM_THREADS="1")
    folder = repository / "outputs" / "demo" / "digits" / "search"
    grid = list(csv.DictReader((folder / "grid.csv").open(encoding="utf-8")))
    records = read_records(repository / "results" / "digits")
    assert len(grid) == 9 * 2 * 2 and len(records) == 9
    for run_id, group in records.items():
        assert [record.seed for record in group] == [0, 1] and group[0].complete
        for record in group:
            tried = [row for row in grid if (row["run"], row["seed"]) == (run_id, str(record.seed))]
            chosen = max(tried, key=lambda row: float(row["val_mAP"]))
            assert record.run.optimizer.lr == float(chosen["lr"]) and record.run.batch_size == 16
            assert record.measurements["best"].epoch == int(chosen["best_epoch"])
            assert all(
                (epoch.estimate_mAP is not None) == (record.run.loss.name == "role")
                for epoch in record.history
            )
            assert record.selected.metrics["mAP"] == pytest.approx(
                float(chosen["test_mAP_best"]), abs=0.01
            )
            weights = (
                folder / f"{run_id}-s{record.seed}" / "training" / "best.safetensors"
            ).read_bytes()
            assert record.provenance.weights_sha256["best"] == hashlib.sha256(weights).hexdigest()
