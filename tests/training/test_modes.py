"""LinearInit in two stages, the released protocol, what losses are told, early ends, head's lr."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LINEAR, PICTURES, run_settings, stage, write_yaml
from pydantic import TypeAdapter
from test_resume import kill_training, results
from toys import CPU, Interruption, Memory, Recorder, toy_job

from mlrepro.data.manifest import load_observed, read_manifest
from mlrepro.errors import InputError
from mlrepro.judging import record_shortfalls
from mlrepro.losses import create_loss
from mlrepro.models.heads import create_head
from mlrepro.records import read_record
from mlrepro.settings.losses import LossSettings
from mlrepro.settings.run import Run, load_run
from mlrepro.training import train as training
from mlrepro.training.fit import fit
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.observer import Observer
from mlrepro.training.optimizers.create import create_optimizer
from mlrepro.training.state import Progress
from mlrepro.training.targets import read_targets
from mlrepro.training.train import train_run

LINEAR_INIT = "gap-role-efficientnet_lite0-digits-single-32-linear_init"
EM_APL = "linear-em_apl-efficientnet_lite0-digits-single-32"
IUN = "linear-iun-efficientnet_lite0-digits-single-32"

# Losses that keep state between batches, with their options.
STATEFUL = {
    "role": {"expected_positives": 2},
    "em_apl": {"alpha": 0.2, "beta": 0.5, "warm_up": 1},
    "ll_r": {"delta_rel": 5},
    "ll_ct": {"delta_rel": 5},
    "ll_cp": {"delta_rel": 5},
    "gr": {},
    "splc": {},
}
ADAM = {"name": "adam", "lr": 1e-3}


def linear_init(**changes) -> dict:
    """Settings of a run in two stages, both with ROLE."""
    loss = {"name": "role", "expected_positives": "validation"}
    first = {"loss": loss, "optimizer": ADAM, "epochs": 5, "batch_size": 8}
    settings = run_settings(
        LINEAR_INIT,
        weights="package",
        variant="linear_init",
        linear_init=first,
        epochs=3,
        batch_size=32,
    )
    return settings | changes


def write_run(repository: Path, run_id: str, settings: dict) -> None:
    write_yaml(repository / "runs" / f"{run_id}.yaml", settings)


def facts(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text())


def train(run: Run, repository: Path, observer: Observer | None = None) -> Progress:
    """In this process, which must be in `repository`."""
    data = repository / "data" / "digits"
    return train_run(run, 0, data, repository / "out", "modes", observer)


# ---- LinearInit --------------------------------------------------------------------------------


def test_linear_init_starts_from_the_best_linear_layer_and_its_estimates(repository, monkeypatch):
    monkeypatch.chdir(repository)
    jobs, starts, reached = [], [], []

    def spy(job, *arguments):
        weights = copy.deepcopy(job.task.model.state_dict())
        estimates = job.loss.logits.detach().clone()
        progress = fit(job, *arguments)
        jobs.append(job)
        starts.append((weights, estimates))
        reached.append(progress)
        return progress

    monkeypatch.setattr(training, "fit", spy)
    train(Run.model_validate(linear_init(epochs=1)), repository)

    assert len(jobs) == 2
    first = jobs[0].run
    assert (first.inputs, first.head, first.batch_size) == ("features", "linear", 8)
    linear = reached[0]
    assert len(linear.history) == 5

    _, drawn_estimates = starts[0]
    weights, estimates = starts[1]
    for name in ("weight", "bias"):
        assert torch.equal(weights[f"head.fc.{name}"], linear.best["weights"][name])
    learned_estimates = linear.best["loss"]["logits"]
    torch.testing.assert_close(estimates, learned_estimates, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(estimates, drawn_estimates, atol=1e-3)

    recorded = {key: linear.best[key] for key in ("epoch", "val_mAP")}
    assert facts(repository / "out")["linear_init"] == recorded


def test_killed_linear_init_equals_uninterrupted(repository):
    write_run(repository, LINEAR_INIT, linear_init())
    stage(repository, "train", "params.yaml", LINEAR_INIT, "0")
    wanted = results(repository, LINEAR_INIT)

    # Killed in the first stage, and in the second one.
    for checkpoint in ("*-linear_init", "*-s0"):
        at = f".checkpoints/{checkpoint}-????????????/state-*.pt"
        kill_training(repository, LINEAR_INIT, at=at)

    again = stage(repository, "train", "params.yaml", LINEAR_INIT, "0")
    assert (again.stdout + again.stderr).count("resumed after epoch") == 2
    assert results(repository, LINEAR_INIT) == wanted
    assert not list((repository / ".checkpoints").glob("*/state-*.pt"))


# ---- The released protocol ---------------------------------------------------------------------


def test_released_protocol_scores_whole_batches_and_draws_its_seed(repository):
    write_run(repository, LINEAR, run_settings(LINEAR, protocol="released", batch_size=20))
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", LINEAR, "0")
    record = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json")

    test = record.splits["test"]
    assert (test.used, test.expected) == (40, 48)
    assert record.splits["val"].used == 40
    assert not record_shortfalls(record)

    out = repository / f"outputs/demo/digits/{LINEAR}-s0/training"
    assert record.provenance.torch_seed == facts(out)["torch_seed"]

    manifest = read_manifest(repository / "data/digits")
    scored = manifest.label_matrix(manifest.rows("test")[:40])
    assert sum(c.test for c in record.selected.per_class) == scored.sum()


def test_released_protocol_draws_a_seed_and_keeps_it_when_resumed(repository, monkeypatch):
    monkeypatch.chdir(repository)
    run = Run.model_validate(run_settings(LINEAR, protocol="released"))
    first = train(run, repository).seed
    second = train(run, repository).seed
    assert first != second

    with pytest.raises(KeyboardInterrupt):
        train(run, repository, Interruption())
    checkpoint = next(repository.glob(".checkpoints/*/state-*.pt"))
    third = torch.load(checkpoint, weights_only=True)["progress"]["seed"]

    assert train(run, repository).seed == third
    assert facts(repository / "out")["torch_seed"] == third
    assert len({first, second, third}) == 3


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_iun_targets(repository, protocol):
    run = Run.model_validate(run_settings(IUN, protocol=protocol))
    folder = repository / "data" / "digits"
    manifest = read_manifest(folder)
    train_rows = manifest.rows("train")
    labels = manifest.label_matrix(train_rows)
    rows, observed = load_observed(folder)

    targets = read_targets(run, manifest)
    assert targets.dtype == np.int8
    observed_positive = observed[np.searchsorted(rows, train_rows)] == 1
    np.testing.assert_array_equal(targets == 1, observed_positive)
    known_negative = (labels == 0) & (protocol == "corrected")
    np.testing.assert_array_equal(targets == -1, known_negative)


# ---- Losses with state, and early ends ---------------------------------------------------------


def small_fit(create, checkpoint=None, **changes) -> tuple[Progress, torch.Tensor]:
    """A linear layer on random features: its progress, and its logits of the training rows.

    create: of a loss, from the targets.
    """
    run = Run.model_validate(run_settings(LINEAR, epochs=5, batch_size=4) | changes)
    random = np.random.default_rng(0)
    features = torch.tensor(random.normal(size=(30, 5)), dtype=torch.float32)
    labels = (random.random((30, 6)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(5, 25), "val": np.r_[:5, 25:30]}
    targets = torch.from_numpy(labels[rows["train"]])
    targets[0, 0] = -1

    torch.manual_seed(0)
    model = create_head("linear", 5, 6, None)
    inputs = FeatureInputs(features, CPU)
    job = toy_job(run, model, inputs, labels, rows, create(targets), targets)
    progress = fit(job, checkpoint)
    return progress, model(features[rows["train"]]).detach()


@pytest.mark.parametrize("name", STATEFUL)
def test_state_of_a_loss_survives_an_interruption(name):
    settings = TypeAdapter(LossSettings).validate_python({"name": name, **STATEFUL[name]})

    def create(targets):
        return create_loss(settings, targets, None, torch.Generator().manual_seed(0))

    wanted, logits = small_fit(create)
    checkpoint = Memory(interrupt_after=3)
    with pytest.raises(KeyboardInterrupt):
        small_fit(create, checkpoint)
    again, logits_again = small_fit(create, checkpoint)

    assert again.history == wanted.history
    assert torch.equal(logits, logits_again)
    for key, state in wanted.best["loss"].items():
        assert torch.equal(again.best["loss"][key], state)

    if name in ("ll_cp", "em_apl"):  # or there would be nothing to lose
        state = next(iter(wanted.best["loss"].values()))
        assert (state > 0).any()


def test_losses_are_told_of_epochs_and_can_predict_the_training_rows():
    loss = Recorder()
    _, logits = small_fit(lambda _: loss)
    assert loss.seen[::2] == [(epoch, 5) for epoch in range(5)]
    torch.testing.assert_close(loss.seen[-1], logits)


def test_training_ends_at_the_first_epoch_without_improvement():
    """Nothing moves, so that the second epoch is level with the first."""
    ended, _ = small_fit(lambda _: Recorder(), stop_below=0.0)
    assert len(ended.history) == 2
    whole, _ = small_fit(lambda _: Recorder(), stop_below=0.1)
    assert len(whole.history) == 5


# ---- Heads -------------------------------------------------------------------------------------


def test_learning_rate_of_the_head():
    model = torch.nn.Module()
    model.backbone = torch.nn.Linear(2, 3)
    model.head = torch.nn.Linear(3, 4)
    run = Run.model_validate(run_settings(PICTURES, optimizer={"lr": 1e-2, "head_lr_factor": 10}))

    optimizer, _ = create_optimizer(run, model, Recorder(), 1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == 4
    assert rates[id(model.backbone.weight)] == 1e-2
    assert rates[id(model.head.bias)] == pytest.approx(0.1)


def test_boostlu_multiplies_positive_activations():
    head = create_head("boostlu", 6, 4, None)
    features = torch.randn(3, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    weight = head.fc.weight[:, :, 0, 0]
    maps = torch.einsum("bchw,kc->bkhw", features, weight) + head.fc.bias[:, None, None]
    wanted = (5 * maps.clamp(min=0) + maps.clamp(max=0)).mean((2, 3))
    torch.testing.assert_close(head(features), wanted, rtol=1e-5, atol=1e-6)

    # With a factor of 1 it is average pooling.
    plain = create_head("gap", 6, 4, None)
    plain.fc.load_state_dict({"weight": head.fc.weight.flatten(1), "bias": head.fc.bias})
    head.alpha = 1.0
    torch.testing.assert_close(head(features), plain(features), rtol=1e-5, atol=1e-5)


# ---- Settings ----------------------------------------------------------------------------------

LATE_WARM_UP = {"name": "em_apl", "alpha": 0.1, "beta": 0.1, "warm_up": 3}
WRONG_RUNS = [
    (linear_init(head="boostlu"), "`linear_init` needs `head: gap`"),
    (
        linear_init(variant=None),
        "`linear_init` and a `variant` that starts with linear_init belong together",
    ),
    (run_settings(PICTURES, variant="linear_init"), "belong together"),
    (run_settings(EM_APL, loss=LATE_WARM_UP), "loss.warm_up must be below epochs"),
    (linear_init(labels="full", loss={"name": "bce"}), "loss 'role' reads observed labels"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG_RUNS)
def test_wrong_runs(tmp_path, settings, message):
    write_yaml(tmp_path / "run.yaml", settings)
    with pytest.raises(InputError) as error:
        load_run(tmp_path / "run.yaml")
    assert message in str(error.value)
