"""Optimisers and schedules, SAM, averaged weights, early ends, precision, selection on test: goldens, effects, interruptions."""

import copy
import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LINEAR, PICTURES, run_settings, stage, stage_functions, write_yaml
from safetensors.torch import load_file
from test_modes import Memory, Recorder, facts, write_run
from test_resume import OFF, results, start, wait_for_checkpoint
from torch import nn

from mlrepro.errors import InputError
from mlrepro.judging import record_shortfalls
from mlrepro.losses.base import BatchLoss
from mlrepro.losses.binary import bce
from mlrepro.losses.large_loss import LargeLoss
from mlrepro.records import read_record
from mlrepro.settings.run import Run, load_run
from mlrepro.training.early_stopping import stopped
from mlrepro.training.fit import average_of, fit
from mlrepro.training.inputs import FeatureInputs
from mlrepro.training.optimizers import create_optimizer, sharpness_aware

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
suggest = stage_functions("lr_search")["suggest"]
SGD = {"name": "sgd", "lr": 0.1}
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


def toy(checkpoint=None, loss=None, **changes):
    """A fit on 40 vectors; returns progress, and the state of the network that it ends with."""
    random = np.random.default_rng(0)
    features, labels = (
        torch.tensor(random.normal(size=(40, 5)), dtype=torch.float32),
        random.random((40, 6)) < 0.5,
    )
    rows = {"train": np.arange(5, 25), "val": np.r_[:5, 25:30], "test": np.arange(30, 40)}
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 6)
    )
    progress = fit(
        make_run(**changes),
        0,
        model,
        loss or BatchLoss(bce),
        FeatureInputs(features, torch.device("cpu")),
        torch.from_numpy(labels[rows["train"]].astype(np.int8)),
        labels.astype(np.int8),
        rows,
        checkpoint or Memory(),
        torch.device("cpu"),
        lambda _: None,
        lambda _: None,
    )
    return progress, model.state_dict()


def same(first: dict, second: dict) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


# --- goldens of the authors' code ------------------------------------------------------------------------------------


def test_sam_step_groups_and_average_of_deep_object_reid():
    z, tag = golden("aam/sam_ema_onecycle.npz"), "rho0.05"
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()

    def flat(values) -> np.ndarray:
        return torch.cat([value.detach().flatten() for value in values]).numpy()

    nn.utils.vector_to_parameters(torch.from_numpy(z[f"{tag}_p0"]), model.parameters())
    run = make_run(optimizer=SGD | {"decay": "no_bias", "weight_decay": 5e-4, "sam_rho": 0.05})
    optimizer, schedule = create_optimizer(run, model, BatchLoss(bce), 1)
    assert schedule is None
    averaged, seen = average_of(model, 0.9), []

    def backward():
        seen.append(flat(model.parameters()))
        loss = nn.functional.binary_cross_entropy_with_logits(
            model(torch.from_numpy(z["X"])), torch.from_numpy(z["Y"]), reduction="sum"
        )
        optimizer.zero_grad()
        loss.backward()
        seen.append((loss.item(), flat(p.grad for p in model.parameters())))
        return loss.detach()

    for i in range(4):
        seen.clear()
        value = sharpness_aware(backward, model, BatchLoss(bce), run.optimizer.sam_rho)
        start, (loss1, grad1), climb, (loss2, grad2) = seen
        np.testing.assert_array_equal(flat(model.parameters()), start)
        optimizer.step()
        averaged.update_parameters(model)
        for name, actual in {
            f"loss1_{i}": loss1,
            f"gradnorm_{i}": np.linalg.norm(grad1),
            f"climb_{i}": climb,
            f"loss2_{i}": loss2,
            f"grad2_{i}": grad2,
            f"p{i + 1}": flat(model.parameters()),
            f"ema{i + 1}": flat(averaged.module.parameters()),
        }.items():
            np.testing.assert_allclose(
                actual, z[f"{tag}_{name}"], rtol=1e-10, atol=1e-10, err_msg=name
            )
        assert value.item() == loss1


def test_average_of_a_whole_state():
    """The golden's states before the last follow from its averages; the last one is given, and is what is really checked."""
    z = golden("aam/sam_ema_onecycle.npz")
    model, keys = nn.BatchNorm1d(4).double(), list(z["ema_bn_keys"])
    averaged = average_of(model, 0.99)

    def flat(module) -> np.ndarray:
        return torch.cat([module.state_dict()[key].double().flatten() for key in keys]).numpy()

    rows = np.vstack([flat(model), z["ema_bn_rows"]])
    states = np.vstack([(rows[1:-1] - 0.99 * rows[:-2]) / 0.01, z["ema_bn_model_final"]])
    for step, (state, wanted) in enumerate(zip(states, z["ema_bn_rows"], strict=True), 1):
        parts = torch.from_numpy(state[:16]).split(4)
        model.load_state_dict(dict(zip(keys, [*parts, torch.tensor(step)], strict=True)))
        averaged.update_parameters(model)
        np.testing.assert_allclose(
            flat(averaged.module), wanted, rtol=1e-6, atol=1e-7
        )  # made in float32
    assert averaged.module.num_batches_tracked == 0


def test_average_of_query2label():
    z = golden("q2l/sched_ema.npz")
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    model.load_state_dict(
        {
            key.removeprefix("ema/init/"): torch.from_numpy(z[key])
            for key in z
            if key.startswith("ema/init/")
        }
    )
    averaged = average_of(model, 0.9997)
    for _ in range(3):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.5)
        model[1].num_batches_tracked += 1
        averaged.update_parameters(model)
    for name, value in averaged.module.state_dict().items():
        if "running" not in name:  # what these saw is not in the golden
            np.testing.assert_allclose(model.state_dict()[name], z[f"ema/model3/{name}"], rtol=1e-6)
            np.testing.assert_allclose(value, z[f"ema/ema3/{name}"], rtol=1e-6)


@pytest.mark.parametrize("source", ["aam", "asl", "query2label"])
def test_one_cycle_of_the_authors(source):
    aam, q2l = golden("aam/sam_ema_onecycle.npz"), golden("q2l/sched_ema.npz")
    rate = q2l["onecycle/lr"]
    optimizer, epochs, steps, wanted = {
        "aam": (
            SGD | {"lr": 0.007, "decay": "no_bias", "div_factor": 100, "final_div_factor": 1000},
            6,
            10,
            aam["onecycle_rows"][:, [1, 2, 5]],
        ),
        "asl": (
            {"lr": 1e-4, "planned_epochs": 80},
            41,
            1,
            aam["asl_onecycle_rows_step_lr_beta1"][:, [1, 1, 2]],
        ),
        "query2label": (
            {"name": "adamw", "lr": 1e-4},
            4,
            5,
            np.c_[rate, rate, q2l["onecycle/beta1"]],
        ),
    }[source]
    run = make_run(optimizer=optimizer | {"schedule": "one_cycle"}, epochs=epochs)
    created, schedule = create_optimizer(run, nn.Linear(2, 2), BatchLoss(bce), steps)
    seen = []
    for _ in range(epochs * steps):
        groups = created.param_groups
        momentum = groups[0]["momentum"] if source == "aam" else groups[0]["betas"][0]
        seen.append((groups[0]["lr"], groups[-1]["lr"], momentum))
        created.step()
        if len(seen) < epochs * steps:
            schedule.step()
    np.testing.assert_allclose(seen, wanted, rtol=1e-9, atol=1e-12)


# --- optimisers and schedules ----------------------------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 4, 1), nn.Module()
        self.head.norm = nn.MultiheadAttention(4, 1)  # a matrix whose name contains `norm`
        self.head.query_embed, self.head.fc_bias = (
            nn.Embedding(2, 4),
            nn.Parameter(torch.zeros(1, 2)),
        )
        self.head.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)


@pytest.mark.parametrize(("decay", "factor"), [("all", 1.0), ("matrices", 1.0), ("no_bias", 3.0)])
def test_parameter_groups(decay, factor):
    """Lr and weight decay by parameter; `head_lr_factor` multiplies what `decay` gives."""
    model, loss = Small(), nn.Linear(1, 1)
    run = make_run(optimizer=SGD | {"weight_decay": 0.01, "decay": decay, "head_lr_factor": factor})
    optimizer, _ = create_optimizer(run, model, loss, 1)
    names = {
        id(p): name
        for name, p in [
            *model.named_parameters(),
            *((f"loss.{n}", p) for n, p in loss.named_parameters()),
        ]
    }
    found = {
        names[id(p)]: (pytest.approx(group["lr"]), group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    bias, matrix = {
        "all": ((1, 0.01), (1, 0.01)),
        "matrices": ((1, 0.0), (1, 0.01)),
        "no_bias": ((2, 0.0), (1, 0.0)),
    }[decay]
    wanted = {
        "backbone.weight": (1, 0.01),
        "backbone.bias": bias,
        "loss.weight": (10, 0.01),
        "loss.bias": (10, 0.01),
    }
    head = {
        "norm.in_proj_weight": matrix,
        "norm.in_proj_bias": bias,
        "norm.out_proj.weight": matrix,
        "norm.out_proj.bias": bias,
        "query_embed.weight": matrix,
        "fc_bias": bias,
    }
    wanted |= {f"head.{name}": (factor * lr, wd) for name, (lr, wd) in head.items()}
    assert found == {name: (pytest.approx(0.1 * lr), wd) for name, (lr, wd) in wanted.items()}
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"schedule": "linear"}, [0.1 * (1 / 3 + 2 / 3 * epoch / 10) for epoch in range(6)]),
        ({"schedule": "cosine"}, [0.05 * (1 + np.cos(np.pi * epoch / 6)) for epoch in range(6)]),
        (
            {"schedule": "cosine", "planned_epochs": 12},
            [0.05 * (1 + np.cos(np.pi * epoch / 12)) for epoch in range(6)],
        ),
        ({"lr_scaling": "batch_256"}, [0.1 * 4 / 256] * 6),
    ],
)
def test_lr_of_each_epoch(settings, wanted):
    assert [entry["lr"] for entry in toy(optimizer=SGD | settings)[0].history] == pytest.approx(
        wanted
    )


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
    assert not same(toy(**changes)[1], toy(optimizer=SGD)[1])


def test_clipped_step_has_the_norm():
    start, end = (
        toy(
            optimizer=SGD | {"momentum": 0.0, "lr": lr, "clip_norm": 1e-3}, epochs=1, batch_size=20
        )[1]
        for lr in (1e-30, 1.0)
    )
    step = torch.cat(
        [
            (end[key] - start[key]).flatten()
            for key in start
            if key.startswith(("0.", "4.")) or key in ("1.weight", "1.bias")
        ]
    )
    assert step.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_sam_passes_update_batch_norm_twice_and_labels_once():
    """A perturbation of nothing: the labels that LargeLoss corrects for good are those that plain SGD corrects."""
    corrected, counts = [], []
    for optimizer in (SGD, SGD | {"sam_rho": 1e-12}):
        loss = LargeLoss("ll_cp", torch.zeros(20, 6), 10.0, keep_threshold=True)
        _, state = toy(
            loss=loss, epochs=2, optimizer=optimizer | {"lr": 1e-12}, precision="float32"
        )
        corrected.append(int(loss.corrected.sum()))
        counts.append(int(state["1.num_batches_tracked"]))
    assert counts == [10, 20]
    loss = LargeLoss("ll_cp", torch.zeros(4, 6), 10.0, keep_threshold=True)
    loss.start_epoch(1, 2)
    model, rows = nn.Linear(5, 6), torch.arange(4)
    batch = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))

    def backward():
        value = loss(model(batch), torch.zeros(4, 6), rows)
        model.zero_grad()
        value.backward()
        return value.detach()

    state = copy.deepcopy(loss.state_dict())
    plain, once = backward(), loss.corrected.clone()
    loss.load_state_dict(state)
    assert sharpness_aware(backward, model, loss, 1e-12) == plain
    assert torch.equal(loss.corrected, once) and once.sum() == 3


# --- averaged weights, selection, early ends -------------------------------------------------------------------------


def test_average_is_scored_selected_and_kept_and_leaves_the_training_alone():
    plain, trained = toy(optimizer=SGD)
    progress, last = toy(optimizer=SGD, ema=0.8, ema_start=2, select_on_test=True)
    history = progress.history
    assert [
        {key: entry[key] for key in ("epoch", "lr", "train_loss", "val_mAP", "val_positives")}
        for entry in history
    ] == plain.history
    assert ["val_mAP_ema" in entry and "test_mAP_ema" in entry for entry in history] == [
        False
    ] * 2 + [True] * 4
    count = 10  # of batches at epoch 2, where the average begins
    for seen in range(11, 31):
        count = int(0.8 * count + 0.2 * seen)
    assert not same(last, trained) and (
        last["1.num_batches_tracked"],
        trained["1.num_batches_tracked"],
    ) == (count, 30)
    for best, column in ((progress.best, "val_mAP"), (progress.on_test, "test_mAP")):
        scores = {
            (-entry[column + suffix], entry["epoch"], kind)
            for entry in history
            for kind, suffix in (("ema", "_ema"), ("plain", ""))
            if column + suffix in entry
        }
        value, epoch, _ = min(scores)
        assert (best[column], best["epoch"]) == (-value, epoch)


def test_plain_weights_win_ties_and_the_first_epoch_wins():
    """Nothing moves, so that all scores are level."""
    still = {"name": "sgd", "lr": 1e-30}
    progress, _ = toy(loss=Recorder(), optimizer=still, ema=0.9, epochs=2)
    assert (
        progress.best["kind"] == "plain"
        and len({entry["val_mAP_ema"] for entry in progress.history}) == 1
    )
    assert progress.best["epoch"] == int(
        np.argmax([entry["val_mAP"] for entry in progress.history])
    )


def entries(plain: list[float], averaged: list[float] = ()) -> list[dict]:
    return [
        {"val_mAP": value} | ({"val_mAP_ema": averaged[i]} if averaged else {})
        for i, value in enumerate(plain)
    ]


def first_stop(run: Run, history: list[dict]) -> int | None:
    """After how many epochs the training ends."""
    return next((n for n in range(len(history) + 1) if stopped(run, history[:n])), None)


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


def test_first_fifth_is_of_the_planned_epochs():
    history = entries([50.0] + [30.0] * 9)
    optimizer = SGD | {"schedule": "one_cycle"}
    stop = {"early_stop": {"rule": "aam", "patience": 2}}
    assert first_stop(make_run(epochs=10, optimizer=optimizer, **stop), history) == 3
    assert (
        first_stop(
            make_run(epochs=10, optimizer=optimizer | {"planned_epochs": 30}, **stop), history
        )
        == 7
    )


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
    wanted, state = toy(**changes)
    checkpoint = Memory(interrupt_after=3)
    with pytest.raises(KeyboardInterrupt):
        toy(checkpoint, **changes)
    again, state_again = toy(checkpoint, **changes)
    assert again.history == wanted.history and same(state, state_again)
    for first, second in ((wanted.best, again.best), (wanted.on_test, again.on_test)):
        assert (
            first is second is None
            or first["kind"] == second["kind"]
            and same(first["weights"], second["weights"])
        )
    finished = torch.load(io.BytesIO(checkpoint.saved), weights_only=True)
    checkpoint.left = 1000
    assert same(toy(checkpoint, **changes)[1], state)  # killed after its last epoch
    assert finished["progress"]["history"] == wanted.history


# --- the stages ------------------------------------------------------------------------------------------------------


def test_killed_with_everything_equals_uninterrupted_and_its_record_is_complete(repository):
    epochs, early = 60, {"rule": "aam", "patience": 1}
    changes = EVERYTHING | {"early_stop": early, "freeze": "query2label"}
    write_run(repository, PICTURES, run_settings(PICTURES, epochs=epochs, **changes))
    stage(repository, "train", "params.yaml", PICTURES, "0", **OFF)
    wanted, written = results(repository, PICTURES), 0
    for _ in range(2):
        process = start(repository, PICTURES)
        written = wait_for_checkpoint(repository, process, written)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    again = stage(repository, "train", "params.yaml", PICTURES, "0", **OFF)
    assert (
        "resumed after epoch" in again.stdout + again.stderr
        and results(repository, PICTURES) == wanted
    )
    stage(repository, "evaluate", "params.yaml", PICTURES, "0", **OFF)
    record = read_record(repository / "results" / "digits" / f"{PICTURES}-s0.json")
    assert len(record.history) < epochs and not record_shortfalls(record)
    check_selections(record, repository / f"outputs/demo/digits/{PICTURES}-s0/training")


def check_selections(record, out) -> None:
    """What was scored while training is what the weights that were kept for it score."""
    last = record.history[-1]
    scores = {
        (epoch.epoch, kind): (val, test)
        for epoch in record.history
        for kind, val, test in (
            ("plain", epoch.val_mAP, epoch.test_mAP),
            ("ema", epoch.val_mAP_ema, epoch.test_mAP_ema),
        )
        if val is not None
    }
    for selection, measured in record.measurements.items():
        _, test = scores[measured.epoch, measured.weights]
        assert measured.metrics["mAP"] == pytest.approx(test, abs=1e-6), selection
    assert (record.measurements["last"].epoch, record.measurements["last"].weights) == (
        last.epoch,
        "ema",
    )
    assert record.measurements["on_test"].metrics["mAP"] == pytest.approx(
        max(test for _, test in scores.values())
    )
    best = record.measurements["best"]
    assert scores[best.epoch, best.weights][0] == max(val for val, _ in scores.values())
    assert record.selected == best and set(record.measurements) == {"best", "last", "on_test"}
    keys = load_file(out / "last.safetensors").keys()
    assert load_file(out / "best.safetensors").keys() == {
        *keys,
        *(f"on_test.{key}" for key in keys),
    }


def test_precision_is_recorded(repository):
    write_run(repository, LINEAR, run_settings(LINEAR, precision="bfloat16"))
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", LINEAR, "0", **OFF)
    record = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json")
    assert record.environment.precision == "bfloat16"
    logits = load_file(repository / f"outputs/demo/digits/{LINEAR}-s0/logits.safetensors")[
        "test_best"
    ]
    assert torch.equal(logits, logits.bfloat16().float())
    assert record.selected.metrics["mAP"] > 0 and facts(
        repository / f"outputs/demo/digits/{LINEAR}-s0/training"
    )["weights"] == {"best": "plain", "last": "plain"}


def test_checkpoint_is_where_a_training_starts(repository):
    write_run(repository, PICTURES, run_settings(PICTURES, epochs=1))
    stage(repository, "train", "params.yaml", PICTURES, "0", **OFF)
    out = repository / f"outputs/demo/digits/{PICTURES}-s0/training"
    (repository / "network.safetensors").write_bytes((out / "last.safetensors").read_bytes())
    first = load_file(out / "last.safetensors")
    still = {"name": "sgd", "lr": 1e-30}
    write_run(
        repository,
        PICTURES,
        run_settings(
            PICTURES,
            epochs=1,
            optimizer=still,
            checkpoint="network.safetensors",
            checkpoint_drop=["fc"],
        ),
    )
    stage(repository, "train", "params.yaml", PICTURES, "0", **OFF)
    again = load_file(out / "last.safetensors")
    assert all(
        torch.equal(first[key], again[key]) == (not key.startswith("head.fc"))
        for key in first
        if "running" not in key and "num_batches" not in key
    )
    assert (
        facts(out)["pretrained"] == "network.safetensors; fc started anew"
        and len(facts(out)["pretrained_sha256"]) == 64
    )


def test_lr_search(repository):
    write_run(repository, LINEAR, run_settings(LINEAR, batch_size=2))
    done = stage(repository, "lr_search", "params.yaml", LINEAR, "0", **OFF)
    path = repository / f"outputs/demo/digits/{LINEAR}-s0/lr_search.csv"
    swept = dict(
        zip(("lr", "loss", "smoothed"), np.loadtxt(path, delimiter=",", skiprows=1).T, strict=True)
    )
    assert path.read_text().startswith("lr,loss,smoothed\n")
    assert f"optimizer.lr {suggest(swept):.2g} (now 0.001)" in done.stdout
    assert swept["lr"][0] == 1e-7 and 1e-6 < suggest(swept) < 1
    write_run(repository, LINEAR, run_settings(LINEAR))
    done = stage(repository, "lr_search", "params.yaml", LINEAR, "0", check=False, **OFF)
    assert (
        done.returncode == 1
        and "a pass has 6 batches" in done.stderr
        and "lower batch_size" in done.stderr
    )


def test_suggested_lr_is_where_the_loss_falls_most_steeply():
    lrs = np.logspace(-7, 1, 81)
    assert suggest({"lr": lrs, "smoothed": 1 / (1 + (lrs / 1e-3) ** 0.8) + lrs}) == pytest.approx(
        1e-3, rel=0.3
    )
    with pytest.raises(InputError, match="never fell"):
        suggest({"lr": lrs, "smoothed": 1 + lrs})


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
