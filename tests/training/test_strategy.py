"""Optimisers and schedules, SAM, averaged weights, early ends, precision, selection on test.

They are compared with goldens of the authors' code, by their effects, and through interruptions.
"""

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LINEAR, PICTURES, run_settings, stage, write_yaml
from safetensors.torch import load_file
from test_modes import facts, write_run
from test_resume import kill_training, results, trained
from torch import nn
from toys import CPU, NEVER, Memory, Recorder, toy_job

from mlrepro.environments import read_environment
from mlrepro.errors import InputError
from mlrepro.judging import record_shortfalls
from mlrepro.losses.base import BatchLoss
from mlrepro.losses.binary import bce
from mlrepro.losses.large_loss import LargeLoss
from mlrepro.records import Record, read_record
from mlrepro.settings.run import Run, load_run
from mlrepro.training.early_stopping import stopped
from mlrepro.training.ema import average_of
from mlrepro.training.fit import fit
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.lr_search import suggest
from mlrepro.training.optimizers.create import create_optimizer
from mlrepro.training.optimizers.sharpness_aware import sharpness_aware
from mlrepro.training.state import Progress

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SGD = {"name": "sgd", "lr": 0.1}
STILL = {"name": "sgd", "lr": 1e-30}  # nothing moves
EVERYTHING = {
    "optimizer": SGD
    | {
        "decay": "no_bias",
        "weight_decay": 1e-3,
        "sam_rho": 0.05,
        "clip_norm": 1.0,
        "schedule": "one_cycle",
        "div_factor": 100.0,
        "final_div_factor": 1000.0,
    },
    "ema": 0.8,
    "ema_start": 1,
    "select_on_test": True,
    "early_stop": {"rule": "aam", "patience": 2},
}


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / name) as arrays:
        return dict(arrays)


def make_run(**changes) -> Run:
    return Run.model_validate(run_settings(LINEAR, epochs=6, batch_size=4) | changes)


def fit_toy(checkpoint=None, loss=None, **changes) -> tuple[Progress, dict[str, torch.Tensor]]:
    """A fit on 40 vectors: its progress, and the state of the network that it ends with."""
    random = np.random.default_rng(0)
    features = torch.tensor(random.normal(size=(40, 5)), dtype=torch.float32)
    labels = (random.random((40, 6)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(5, 25), "val": np.r_[:5, 25:30], "test": np.arange(30, 40)}

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 6)
    )
    inputs = FeatureInputs(features, CPU)
    job = toy_job(make_run(**changes), model, inputs, labels, rows, loss or BatchLoss(bce))
    progress = fit(job, checkpoint)
    return progress, model.state_dict()


def same_weights(first: dict, second: dict) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def as_one_vector(values) -> np.ndarray:
    return torch.cat([value.detach().double().flatten() for value in values]).numpy()


# ---- Goldens of the authors' code --------------------------------------------------------------


def test_sam_step_groups_and_average_of_deep_object_reid():
    z = golden("aam/sam_ema_onecycle.npz")
    tag = "rho0.05"
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    nn.utils.vector_to_parameters(torch.from_numpy(z[f"{tag}_p0"]), model.parameters())
    inputs = torch.from_numpy(z["X"])
    targets = torch.from_numpy(z["Y"])

    run = make_run(optimizer=SGD | {"decay": "no_bias", "weight_decay": 5e-4, "sam_rho": 0.05})
    optimizer, schedule = create_optimizer(run, model, BatchLoss(bce), 1)
    assert schedule is None
    averaged = average_of(model, 0.9)

    weights, losses, gradients = [], [], []  # of each pass

    def backward():
        weights.append(as_one_vector(model.parameters()))
        loss = nn.functional.binary_cross_entropy_with_logits(
            model(inputs), targets, reduction="sum"
        )
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        gradients.append(as_one_vector(p.grad for p in model.parameters()))
        return loss.detach()

    for i in range(4):
        for passes in (weights, losses, gradients):
            passes.clear()
        value = sharpness_aware(backward, model, BatchLoss(bce), run.optimizer.sam_rho)
        assert value.item() == losses[0]
        before, climbed = weights
        np.testing.assert_array_equal(as_one_vector(model.parameters()), before)

        optimizer.step()
        averaged.update_parameters(model)
        found = {
            f"loss1_{i}": losses[0],
            f"gradnorm_{i}": np.linalg.norm(gradients[0]),
            f"climb_{i}": climbed,
            f"loss2_{i}": losses[1],
            f"grad2_{i}": gradients[1],
            f"p{i + 1}": as_one_vector(model.parameters()),
            f"ema{i + 1}": as_one_vector(averaged.module.parameters()),
        }
        for name, actual in found.items():
            wanted = z[f"{tag}_{name}"]
            np.testing.assert_allclose(actual, wanted, rtol=1e-10, atol=1e-10, err_msg=name)


def test_average_of_a_whole_state():
    """States before the last follow from the golden's averages.

    The last state is given, and is what is really checked.
    """
    z = golden("aam/sam_ema_onecycle.npz")
    model = nn.BatchNorm1d(4).double()
    keys = list(z["ema_bn_keys"])
    averaged = average_of(model, 0.99)

    start = as_one_vector(model.state_dict()[key] for key in keys)
    averages = np.vstack([start, z["ema_bn_rows"]])
    inverted = (averages[1:-1] - 0.99 * averages[:-2]) / 0.01
    states = np.vstack([inverted, z["ema_bn_model_final"]])

    for step, (state, wanted) in enumerate(zip(states, z["ema_bn_rows"], strict=True), 1):
        parts = torch.from_numpy(state[:16]).split(4)
        model.load_state_dict(dict(zip(keys, [*parts, torch.tensor(step)], strict=True)))
        averaged.update_parameters(model)

        found = as_one_vector(averaged.module.state_dict()[key] for key in keys)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)  # made in float32
    assert averaged.module.num_batches_tracked == 0


def test_average_of_query2label():
    z = golden("q2l/sched_ema.npz")
    prefix = "ema/init/"
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    initial = {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in z.items()
        if key.startswith(prefix)
    }
    model.load_state_dict(initial)

    averaged = average_of(model, 0.9997)
    for _ in range(3):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.5)
        model[1].num_batches_tracked += 1
        averaged.update_parameters(model)

    for name, value in averaged.module.state_dict().items():
        if "running" not in name:  # what these saw is not in the golden
            plain = model.state_dict()[name]
            np.testing.assert_allclose(plain, z[f"ema/model3/{name}"], rtol=1e-6)
            np.testing.assert_allclose(value, z[f"ema/ema3/{name}"], rtol=1e-6)


def one_cycle(momentum_of, epochs: int, steps: int, **optimizer) -> np.ndarray:
    """lr of the first and of the last group, and momentum or beta1, of each step."""
    run = make_run(optimizer=optimizer | {"schedule": "one_cycle"}, epochs=epochs)
    created, schedule = create_optimizer(run, nn.Linear(2, 2), BatchLoss(bce), steps)
    seen = []
    for step in range(epochs * steps):
        groups = created.param_groups
        seen.append((groups[0]["lr"], groups[-1]["lr"], momentum_of(groups[0])))
        created.step()
        if step + 1 < epochs * steps:
            schedule.step()
    return np.array(seen)


def momentum(group: dict) -> float:
    return group["momentum"]


def beta1(group: dict) -> float:
    return group["betas"][0]


def test_one_cycle_of_aam():
    factors = {"div_factor": 100, "final_div_factor": 1000}
    found = one_cycle(momentum, 6, 10, name="sgd", lr=0.007, decay="no_bias", **factors)
    wanted = golden("aam/sam_ema_onecycle.npz")["onecycle_rows"][:, [1, 2, 5]]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_one_cycle_of_asl():
    found = one_cycle(beta1, 41, 1, lr=1e-4, planned_epochs=80)
    rows = golden("aam/sam_ema_onecycle.npz")["asl_onecycle_rows_step_lr_beta1"]
    np.testing.assert_allclose(found, rows[:, [1, 1, 2]], rtol=1e-9, atol=1e-12)


def test_one_cycle_of_query2label():
    found = one_cycle(beta1, 4, 5, name="adamw", lr=1e-4)
    z = golden("q2l/sched_ema.npz")
    wanted = np.stack([z["onecycle/lr"], z["onecycle/lr"], z["onecycle/beta1"]], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


# ---- Optimisers and schedules ------------------------------------------------------------------


class Small(nn.Module):
    """A network with a parameter of every kind that `decay` tells apart."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 1)
        self.head = nn.Module()
        self.head.norm = nn.MultiheadAttention(4, 1)  # a matrix whose name contains `norm`
        self.head.query_embed = nn.Embedding(2, 4)
        self.head.fc_bias = nn.Parameter(torch.zeros(1, 2))
        self.head.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)


# Factor of the lr, and weight decay: of biases, and of matrices of norms and queries.
BIAS = {"all": (1, 0.01), "matrices": (1, 0.0), "no_bias": (2, 0.0)}
NAMED_MATRIX = {"all": (1, 0.01), "matrices": (1, 0.01), "no_bias": (1, 0.0)}


@pytest.mark.parametrize(("decay", "factor"), [("all", 1.0), ("matrices", 1.0), ("no_bias", 3.0)])
def test_parameter_groups(decay, factor):
    """Lr and weight decay by parameter; `head_lr_factor` multiplies what `decay` gives."""
    model, loss = Small(), nn.Linear(1, 1)
    run = make_run(optimizer=SGD | {"weight_decay": 0.01, "decay": decay, "head_lr_factor": factor})
    optimizer, _ = create_optimizer(run, model, loss, 1)
    assert optimizer.param_groups[0]["lr"] == 0.1

    bias, matrix = BIAS[decay], NAMED_MATRIX[decay]
    wanted = {
        "backbone.weight": (1, 0.01),
        "backbone.bias": bias,
        "loss.weight": (10, 0.01),
        "loss.bias": (10, 0.01),
    }
    of_head = {
        "norm.in_proj_weight": matrix,
        "norm.in_proj_bias": bias,
        "norm.out_proj.weight": matrix,
        "norm.out_proj.bias": bias,
        "query_embed.weight": matrix,
        "fc_bias": bias,
    }
    for name, (lr, weight_decay) in of_head.items():
        wanted[f"head.{name}"] = (factor * lr, weight_decay)

    names = {id(p): name for name, p in model.named_parameters()}
    names |= {id(p): f"loss.{name}" for name, p in loss.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            found[names[id(p)]] = (group["lr"], group["weight_decay"])

    assert found.keys() == wanted.keys()
    for name, (lr, weight_decay) in wanted.items():
        assert found[name] == (pytest.approx(0.1 * lr), weight_decay), name


EPOCHS = np.arange(6)
LRS_OF_EPOCHS = [
    ({"schedule": "linear"}, 0.1 * (1 / 3 + 2 / 3 * EPOCHS / 10)),
    ({"schedule": "cosine"}, 0.05 * (1 + np.cos(np.pi * EPOCHS / 6))),
    ({"schedule": "cosine", "planned_epochs": 12}, 0.05 * (1 + np.cos(np.pi * EPOCHS / 12))),
    ({"lr_scaling": "batch_256"}, np.full(6, 0.1 * 4 / 256)),
]


@pytest.mark.parametrize(("settings", "wanted"), LRS_OF_EPOCHS)
def test_lr_of_each_epoch(settings, wanted):
    progress, _ = fit_toy(optimizer=SGD | settings)
    assert [entry["lr"] for entry in progress.history] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": SGD | {"sam_rho": 0.5}},
        {"optimizer": SGD | {"clip_norm": 0.01}},
        {"precision": "bfloat16"},
        {"optimizer": SGD | {"decay": "no_bias"}},
        {"optimizer": SGD | {"momentum": 0.0}},
        {"optimizer": SGD | {"schedule": "one_cycle", "planned_epochs": 8}},
    ],
)
def test_setting_changes_the_weights(changes):
    _, changed = fit_toy(**changes)
    _, plain = fit_toy(optimizer=SGD)
    assert not same_weights(changed, plain)


def test_clipped_step_has_the_norm():
    clipped = SGD | {"momentum": 0.0, "clip_norm": 1e-3}
    _, start = fit_toy(optimizer=clipped | {"lr": 1e-30}, epochs=1, batch_size=20)
    _, end = fit_toy(optimizer=clipped | {"lr": 1.0}, epochs=1, batch_size=20)

    learned = ("0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias")
    step = as_one_vector(end[key] - start[key] for key in learned)
    assert np.linalg.norm(step) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(("sam", "passes"), [({}, 10), ({"sam_rho": 1e-12}, 20)])
def test_sam_passes_update_batch_norm_twice(sam, passes):
    """Of 10 batches. A perturbation of nothing."""
    loss = LargeLoss("ll_cp", torch.zeros(20, 6), 10.0, keep_threshold=True)
    optimizer = SGD | sam | {"lr": 1e-12}
    _, state = fit_toy(loss=loss, epochs=2, optimizer=optimizer, precision="float32")
    assert int(state["1.num_batches_tracked"]) == passes


def test_sam_corrects_labels_once():
    """The labels that LargeLoss corrects for good are those that plain SGD corrects."""
    loss = LargeLoss("ll_cp", torch.zeros(4, 6), 10.0, keep_threshold=True)
    loss.start_epoch(1, 2)
    model = nn.Linear(5, 6)
    batch = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))

    def backward():
        value = loss(model(batch), torch.zeros(4, 6), torch.arange(4))
        model.zero_grad()
        value.backward()
        return value.detach()

    before = copy.deepcopy(loss.state_dict())
    plain = backward()
    corrected_once = loss.corrected.clone()
    assert corrected_once.sum() == 3

    loss.load_state_dict(before)
    assert sharpness_aware(backward, model, loss, 1e-12) == plain
    assert torch.equal(loss.corrected, corrected_once)


# ---- Averaged weights, selection, early ends ---------------------------------------------------


def test_average_is_scored_selected_and_kept_and_leaves_the_training_alone():
    plain, plain_weights = fit_toy(optimizer=SGD)
    progress, averaged_weights = fit_toy(optimizer=SGD, ema=0.8, ema_start=2, select_on_test=True)
    history = progress.history

    of_both = ("epoch", "lr", "train_loss", "val_mAP", "val_positives")
    assert [{key: entry[key] for key in of_both} for entry in history] == plain.history
    for entry in history:
        has_begun = entry["epoch"] >= 2
        assert ("val_mAP_ema" in entry) == has_begun
        assert ("test_mAP_ema" in entry) == has_begun

    # Batch norm's count: 10 at epoch 2, where the average begins; its average is truncated.
    count = 10
    for batches in range(11, 31):
        count = int(0.8 * count + 0.2 * batches)
    assert averaged_weights["1.num_batches_tracked"] == count
    assert plain_weights["1.num_batches_tracked"] == 30
    assert not same_weights(averaged_weights, plain_weights)

    for best, column in ((progress.best, "val_mAP"), (progress.on_test, "test_mAP")):
        values = [(entry[column], entry["epoch"]) for entry in history]
        values += [
            (entry[f"{column}_ema"], entry["epoch"])
            for entry in history
            if f"{column}_ema" in entry
        ]
        highest = max(value for value, _ in values)
        first = min(epoch for value, epoch in values if value == highest)
        assert (best[column], best["epoch"]) == (highest, first)


def test_plain_weights_win_ties_and_the_first_epoch_wins():
    """Nothing moves, so that all scores are level."""
    progress, _ = fit_toy(loss=Recorder(), optimizer=STILL, ema=0.9, epochs=2)
    assert progress.best["kind"] == "plain"
    assert len({entry["val_mAP_ema"] for entry in progress.history}) == 1
    scores = [entry["val_mAP"] for entry in progress.history]
    assert progress.best["epoch"] == int(np.argmax(scores))


def entries(plain: list[float], averaged: list[float] | None = None) -> list[dict]:
    """A history, of a run with averaged weights if they are given."""
    history = [{"val_mAP": value} for value in plain]
    for entry, value in zip(history, averaged or [], strict=False):
        entry["val_mAP_ema"] = value
    return history


def first_stop(run: Run, history: list[dict]) -> int | None:
    """After how many epochs the training ends."""
    for epochs in range(len(history) + 1):
        if stopped(run, history[:epochs]):
            return epochs
    return None


@pytest.mark.parametrize(
    ("plain", "averaged", "epochs", "wanted"),
    [
        ([50.0] * 9, [], 10, None),  # 50 stays above the smoothed best, which nears it from below
        ([50.0, 30.0, 30.0, 30.0], [], 10, 3),  # epoch 2 ends the first fifth
        ([50.0, 30.0, 30.0, 30.0, 30.0, 30.0], [], 20, 5),  # epochs 2 and 3 are within it
        ([50.0, 30.0, 45.0, 30.0, 30.0], [], 10, 5),  # 45 is above 0.8 * 50: the count begins anew
        ([50.0, 30.0, 30.0], [50.0, 60.0, 90.0], 10, None),  # the better of the two counts
        ([99.996], [], 10, 1),
    ],
)
def test_early_stop_of_aam(plain, averaged, epochs, wanted):
    run = make_run(epochs=epochs, ema=0.9, early_stop={"rule": "aam", "patience": 2})
    assert first_stop(run, entries(plain, averaged)) == wanted


@pytest.mark.parametrize(("planned", "wanted"), [(None, 3), (30, 7)])
def test_first_fifth_is_of_the_planned_epochs(planned, wanted):
    optimizer = SGD | {"schedule": "one_cycle", "planned_epochs": planned}
    run = make_run(epochs=10, optimizer=optimizer, early_stop={"rule": "aam", "patience": 2})
    assert first_stop(run, entries([50.0] + [30.0] * 9)) == wanted


@pytest.mark.parametrize(
    ("plain", "averaged", "wanted"),
    [
        ([9, 1, 1, 1, 1, 1], [9, 1, 1, 1, 1, 1], 4),  # more than two epochs since both were best
        ([1, 1, 9, 1, 1, 1, 1], [9, 1, 1, 1, 1, 1, 1], 6),
        ([9, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6], None),
        ([9, 1, 1, 1, 1, 1], [8, 8, 8, 8, 8, 7], 6),  # level with its best is not below it
    ],
)
def test_early_stop_of_query2label(plain, averaged, wanted):
    run = make_run(ema=0.9, early_stop={"rule": "query2label", "patience": 2})
    assert first_stop(run, entries(plain, averaged)) == wanted


def same_best(first: dict | None, second: dict | None) -> bool:
    if first is None or second is None:
        return first is second
    return first["kind"] == second["kind"] and same_weights(first["weights"], second["weights"])


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": EVERYTHING["optimizer"], "ema": 0.8, "ema_start": 4},
        {"optimizer": SGD | {"schedule": "linear"}},
        {"optimizer": SGD | {"schedule": "cosine"}},
        EVERYTHING | {"precision": "bfloat16"},
    ],
)
def test_interrupted_equals_uninterrupted(changes):
    wanted, state = fit_toy(**changes)
    checkpoint = Memory(interrupt_after=3)
    with pytest.raises(KeyboardInterrupt):
        fit_toy(checkpoint, **changes)
    again, state_again = fit_toy(checkpoint, **changes)

    assert again.history == wanted.history
    assert same_weights(state, state_again)
    assert same_best(wanted.best, again.best)
    assert same_best(wanted.on_test, again.on_test)

    # Killed after its last epoch.
    finished = torch.load(io.BytesIO(checkpoint.saved), weights_only=True)
    assert finished["progress"]["history"] == wanted.history
    checkpoint.left = NEVER
    _, state_again = fit_toy(checkpoint, **changes)
    assert same_weights(state_again, state)


# ---- The stages --------------------------------------------------------------------------------


def test_killed_with_everything_equals_uninterrupted_and_its_record_is_complete(repository):
    epochs = 60
    early = {"rule": "aam", "patience": 1}
    changes = EVERYTHING | {"early_stop": early, "freeze": "query2label"}
    write_run(repository, PICTURES, run_settings(PICTURES, epochs=epochs, **changes))
    stage(repository, "train", "params.yaml", PICTURES, "0")
    wanted = results(repository, PICTURES)

    for _ in range(2):
        kill_training(repository, PICTURES)
    again = stage(repository, "train", "params.yaml", PICTURES, "0")
    assert "resumed after epoch" in again.stdout + again.stderr
    assert results(repository, PICTURES) == wanted

    stage(repository, "evaluate", "params.yaml", PICTURES, "0")
    record = read_record(repository / "results" / "digits" / f"{PICTURES}-s0.json")
    assert len(record.history) < epochs
    assert not record_shortfalls(record)
    check_selections(record, trained(repository, PICTURES))


def check_selections(record: Record, out: Path) -> None:
    """What was scored while training is what the weights that were kept for it score."""
    val_scores, test_scores = {}, {}  # by epoch and kind of weights
    for epoch in record.history:
        val_scores[epoch.epoch, "plain"] = epoch.val_mAP
        test_scores[epoch.epoch, "plain"] = epoch.test_mAP
        if epoch.val_mAP_ema is not None:
            val_scores[epoch.epoch, "ema"] = epoch.val_mAP_ema
            test_scores[epoch.epoch, "ema"] = epoch.test_mAP_ema

    assert set(record.measurements) == {"best", "last", "on_test"}
    for selection, measured in record.measurements.items():
        trained_test = test_scores[measured.epoch, measured.weights]
        assert measured.metrics["mAP"] == pytest.approx(trained_test, abs=1e-6), selection

    best, last, on_test = (record.measurements[name] for name in ("best", "last", "on_test"))
    assert record.selected == best
    assert val_scores[best.epoch, best.weights] == max(val_scores.values())
    assert (last.epoch, last.weights) == (record.history[-1].epoch, "ema")
    assert on_test.metrics["mAP"] == pytest.approx(max(test_scores.values()))

    keys = load_file(out / "last.safetensors").keys()
    kept_keys = load_file(out / "best.safetensors").keys()
    assert kept_keys == {*keys, *(f"on_test.{key}" for key in keys)}


def test_precision_is_recorded(repository):
    write_run(repository, LINEAR, run_settings(LINEAR, precision="bfloat16"))
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", LINEAR, "0")

    record = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json")
    out = trained(repository, LINEAR)
    used = read_environment(out.with_name("environment.json"))
    assert used.precision == "bfloat16"
    assert record.selected.metrics["mAP"] > 0
    kinds = facts(out)["weights"]
    assert kinds == {"best": "plain", "last": "plain"}

    path = repository / f"outputs/demo/digits/{LINEAR}-s0/logits.safetensors"
    logits = load_file(path)["test_best"]
    assert torch.equal(logits, logits.bfloat16().float())


def test_checkpoint_is_where_a_training_starts(repository):
    write_run(repository, PICTURES, run_settings(PICTURES, epochs=1))
    stage(repository, "train", "params.yaml", PICTURES, "0")
    out = trained(repository, PICTURES)
    first = load_file(out / "last.safetensors")
    (repository / "network.safetensors").write_bytes((out / "last.safetensors").read_bytes())

    settings = run_settings(PICTURES, epochs=1, optimizer=STILL)
    settings |= {"checkpoint": "network.safetensors", "checkpoint_drop": ["fc"]}
    write_run(repository, PICTURES, settings)
    stage(repository, "train", "params.yaml", PICTURES, "0")

    again = load_file(out / "last.safetensors")
    for key in first:
        if "running" not in key and "num_batches" not in key:
            anew = key.startswith("head.fc")
            assert torch.equal(first[key], again[key]) != anew, key
    assert facts(out)["pretrained"] == "network.safetensors; fc started anew"
    assert len(facts(out)["pretrained_sha256"]) == 64


# ---- The search of a learning rate -------------------------------------------------------------


def test_lr_search(repository):
    write_run(repository, LINEAR, run_settings(LINEAR, batch_size=2))
    done = stage(repository, "lr_search", "params.yaml", LINEAR, "0")
    path = repository / f"outputs/demo/digits/{LINEAR}-s0/lr_search.csv"
    assert path.read_text().startswith("lr,loss,smoothed\n")

    columns = np.loadtxt(path, delimiter=",", skiprows=1).T
    swept = dict(zip(("lr", "loss", "smoothed"), columns, strict=True))
    assert swept["lr"][0] == 1e-7
    assert 1e-6 < suggest(swept) < 1
    assert f"optimizer.lr {suggest(swept):.2g} (now 0.001)" in done.stdout


def test_lr_search_needs_enough_batches(repository):
    done = stage(repository, "lr_search", "params.yaml", LINEAR, "0", check=False)
    assert done.returncode == 1
    assert "a pass has 6 batches" in done.stderr
    assert "lower batch_size" in done.stderr


def test_suggested_lr_is_where_the_loss_falls_most_steeply():
    lrs = np.logspace(-7, 1, 81)
    falling = 1 / (1 + (lrs / 1e-3) ** 0.8) + lrs
    assert suggest({"lr": lrs, "smoothed": falling}) == pytest.approx(1e-3, rel=0.3)
    with pytest.raises(InputError, match="never fell"):
        suggest({"lr": lrs, "smoothed": 1 + lrs})


# ---- Settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema_start": 1}, "ema_start needs `ema`"),
        ({"ema": 0.9, "ema_start": 3}, "must be below epochs"),
        ({"early_stop": {"rule": "query2label"}}, "rule query2label watches averaged weights"),
        (
            {"optimizer": SGD | {"schedule": "cosine", "planned_epochs": 2}},
            "planned_epochs must not be below epochs",
        ),
        ({"optimizer": SGD | {"planned_epochs": 9}}, "planned_epochs needs schedule"),
        (
            {"optimizer": SGD | {"div_factor": 9}},
            "div_factor and final_div_factor need schedule one_cycle",
        ),
        ({"checkpoint_drop": ["fc"]}, "checkpoint_drop needs `checkpoint`"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path, changes, message):
    write_yaml(tmp_path / f"{PICTURES}.yaml", run_settings(PICTURES, **changes))
    with pytest.raises(InputError, match=message):
        load_run(tmp_path / f"{PICTURES}.yaml")
