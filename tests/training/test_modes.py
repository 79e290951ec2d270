"""LinearInit in two stages, the released protocol, the hooks that losses get, early ends, the head's learning rate."""

import copy
import io
import json
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import LINEAR, PICTURES, run_settings, stage, write_yaml
from pydantic import TypeAdapter
from test_resume import OFF, results, start, wait_for_checkpoint

from mlrepro.data.manifest import load_observed, read_manifest
from mlrepro.errors import InputError
from mlrepro.judging import record_shortfalls
from mlrepro.losses import create_loss
from mlrepro.losses.base import Loss
from mlrepro.models.heads import create_head
from mlrepro.records import read_record
from mlrepro.settings.losses import LossSettings
from mlrepro.settings.run import Run, load_run
from mlrepro.training import run as training
from mlrepro.training.fit import fit
from mlrepro.training.inputs import FeatureInputs
from mlrepro.training.optimizers import create_optimizer
from mlrepro.training.run import train_targets

LINEAR_INIT = "gap-role-efficientnet_lite0-digits-single-32-linear_init"
EM_APL = "linear-em_apl-efficientnet_lite0-digits-single-32"
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


def write_run(repository, run_id: str, settings: dict) -> None:
    write_yaml(repository / "runs" / f"{run_id}.yaml", settings)


def facts(folder) -> dict:
    return json.loads((folder / "training.json").read_text())


def train(run: Run, repository, tracker=None):
    """In this process, which must be in `repository`; a tracker that raises interrupts it."""
    tracker = tracker or SimpleNamespace(
        start=lambda _: None, epoch=lambda _: None, finish=lambda *_: None
    )
    return training.train_run(
        run, 0, repository / "data" / "digits", repository / "out", "modes", tracker
    )


def test_linear_init_starts_from_the_best_linear_layer_and_its_estimates(repository, monkeypatch):
    monkeypatch.chdir(repository)
    stages = []

    def spy(run, seed, model, loss, *arguments):
        start = copy.deepcopy(model.state_dict()), loss.logits.detach().clone()
        progress = fit(run, seed, model, loss, *arguments)
        stages.append((run, start, progress))
        return progress

    monkeypatch.setattr(training, "fit", spy)
    train(Run.model_validate(linear_init(epochs=1)), repository)
    (stage_run, (_, drawn), linear), (_, (weights, estimates), _) = stages
    assert (stage_run.inputs, stage_run.head, stage_run.batch_size, len(linear.history)) == (
        "features",
        "linear",
        8,
        5,
    )
    for name in ("weight", "bias"):
        assert torch.equal(weights[f"head.fc.{name}"], linear.best["weights"][name])
    torch.testing.assert_close(estimates, linear.best["loss"]["logits"], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(estimates, drawn, atol=1e-3)
    assert facts(repository / "out")["linear_init"] == {
        key: linear.best[key] for key in ("epoch", "val_mAP")
    }


def test_killed_linear_init_equals_uninterrupted(repository):
    write_run(repository, LINEAR_INIT, linear_init())
    stage(repository, "train", "params.yaml", LINEAR_INIT, "0", **OFF)
    wanted = results(repository, LINEAR_INIT)
    process = start(repository, LINEAR_INIT)
    wait_for_checkpoint(repository, process)
    os.kill(process.pid, signal.SIGKILL)  # in the first stage
    process.wait()
    process = start(repository, LINEAR_INIT)
    while not list((repository / ".checkpoints").glob("*-s0-????????????/state.pt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)  # and in the second one
    process.wait()
    again = stage(repository, "train", "params.yaml", LINEAR_INIT, "0", **OFF)
    assert (again.stdout + again.stderr).count("resumed after epoch") == 2
    assert results(repository, LINEAR_INIT) == wanted
    assert not list((repository / ".checkpoints").glob("*/state.pt"))


def test_released_protocol_scores_whole_batches_and_draws_its_seed(repository):
    write_run(repository, LINEAR, run_settings(LINEAR, protocol="released", batch_size=20))
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", LINEAR, "0", **OFF)
    record = read_record(repository / "results" / "digits" / f"{LINEAR}-s0.json")
    assert (
        record.splits["test"].used,
        record.splits["test"].expected,
        record.splits["val"].used,
    ) == (40, 48, 40)
    drawn = facts(repository / f"outputs/demo/digits/{LINEAR}-s0/training")["torch_seed"]
    assert not record_shortfalls(record) and record.provenance.torch_seed == drawn
    assert (
        sum(c.test for c in record.selected.per_class)
        == read_manifest(repository / "data/digits")
        .label_matrix()[read_manifest(repository / "data/digits").rows("test")[:40]]
        .sum()
    )


def test_released_protocol_draws_a_seed_and_keeps_it_when_resumed(repository, monkeypatch):
    monkeypatch.chdir(repository)
    run = Run.model_validate(run_settings(LINEAR, protocol="released"))
    seeds = [train(run, repository).seed for _ in range(2)]
    assert seeds[0] != seeds[1]

    def interrupt(entry):
        seeds.append(
            torch.load(next(repository.glob(".checkpoints/*/state.pt")), weights_only=True)[
                "progress"
            ]["seed"]
        )
        raise KeyboardInterrupt

    tracker = SimpleNamespace(start=lambda _: None, epoch=interrupt, finish=lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        train(run, repository, tracker)
    assert train(run, repository).seed == seeds[2] == facts(repository / "out")["torch_seed"]
    assert len(set(seeds)) == 3


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_iun_targets(repository, protocol):
    run = Run.model_validate(
        run_settings("linear-iun-efficientnet_lite0-digits-single-32", protocol=protocol)
    )
    folder = repository / "data" / "digits"
    manifest = read_manifest(folder)
    labels, (rows, observed) = manifest.label_matrix(), load_observed(folder)
    train = manifest.rows("train")
    targets, _ = train_targets(run, manifest, labels, folder)
    assert targets.dtype == np.int8
    np.testing.assert_array_equal(targets == 1, observed[np.searchsorted(rows, train)] == 1)
    np.testing.assert_array_equal(targets == -1, (labels[train] == 0) & (protocol == "corrected"))


class Recorder(Loss):
    """Writes down what it is told; its gradient is nothing."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def start_epoch(self, epoch, epochs):
        self.seen.append((epoch, epochs))

    def end_epoch(self, predict):
        self.seen.append(predict())

    def forward(self, logits, targets, rows):
        return 0 * logits.sum()


class Memory:
    """A checkpoint that goes through torch's file format, and may interrupt the training after some saves."""

    def __init__(self, interrupt_after: int = 1000):
        self.saved, self.left = None, interrupt_after

    def load(self):
        return self.saved and torch.load(io.BytesIO(self.saved), weights_only=True)

    def save(self, state):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.saved, self.left = buffer.getvalue(), self.left - 1
        if not self.left:
            raise KeyboardInterrupt


def small_fit(create, checkpoint=None, **changes):
    """create: of a loss, from the targets."""
    run = Run.model_validate(run_settings(LINEAR, epochs=5, batch_size=4) | changes)
    random = np.random.default_rng(0)
    features = torch.tensor(random.normal(size=(30, 5)), dtype=torch.float32)
    labels = (random.random((30, 6)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(5, 25), "val": np.r_[:5, 25:30]}
    targets = torch.from_numpy(labels[rows["train"]])
    targets[0, 0] = -1
    torch.manual_seed(0)
    model = create_head("linear", 5, 6, None)
    progress = fit(
        run,
        0,
        model,
        create(targets),
        FeatureInputs(features, torch.device("cpu")),
        targets,
        labels,
        rows,
        checkpoint or Memory(),
        torch.device("cpu"),
        lambda _: None,
        lambda _: None,
    )
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
    assert again.history == wanted.history and torch.equal(logits, logits_again)
    for key, state in wanted.best["loss"].items():
        assert torch.equal(again.best["loss"][key], state)
    if name in ("ll_cp", "em_apl"):  # or there would be nothing to lose
        assert (next(iter(wanted.best["loss"].values())) > 0).any()


def test_losses_are_told_of_epochs_and_can_predict_the_training_rows():
    loss = Recorder()
    _, logits = small_fit(lambda _: loss)
    assert loss.seen[::2] == [(epoch, 5) for epoch in range(5)]
    torch.testing.assert_close(loss.seen[-1], logits)


def test_training_ends_at_the_first_epoch_without_improvement():
    """Nothing moves, so that the second epoch is level with the first."""
    assert len(small_fit(lambda _: Recorder(), stop_below=0.0)[0].history) == 2
    assert len(small_fit(lambda _: Recorder(), stop_below=0.1)[0].history) == 5


def test_learning_rate_of_the_head():
    model = torch.nn.Module()
    model.backbone, model.head = torch.nn.Linear(2, 3), torch.nn.Linear(3, 4)
    run = Run.model_validate(run_settings(PICTURES, optimizer={"lr": 1e-2, "head_lr_factor": 10}))
    optimizer, _ = create_optimizer(run, model, Recorder(), 1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert (
        rates[id(model.backbone.weight)] == 1e-2
        and rates[id(model.head.bias)] == pytest.approx(0.1)
        and len(rates) == 4
    )


def test_boostlu_multiplies_positive_activations():
    head = create_head("boostlu", 6, 4, None)
    features = torch.randn(3, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    maps = (
        torch.einsum("bchw,kc->bkhw", features, head.fc.weight[:, :, 0, 0])
        + head.fc.bias[:, None, None]
    )
    wanted = (5 * maps.clamp(min=0) + maps.clamp(max=0)).mean((2, 3))
    torch.testing.assert_close(head(features), wanted, rtol=1e-5, atol=1e-6)
    plain = create_head("gap", 6, 4, None)
    plain.fc.load_state_dict({"weight": head.fc.weight.flatten(1), "bias": head.fc.bias})
    head.alpha = 1.0
    torch.testing.assert_close(head(features), plain(features), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (linear_init(head="boostlu"), "`linear_init` needs `head: gap`"),
        (
            linear_init(variant=None),
            "`linear_init` and a `variant` that starts with linear_init belong together",
        ),
        (run_settings(PICTURES, variant="linear_init"), "belong together"),
        (
            run_settings(EM_APL, loss={"name": "em_apl", "alpha": 0.1, "beta": 0.1, "warm_up": 3}),
            "loss.warm_up must be below epochs",
        ),
        (linear_init(labels="full", loss={"name": "bce"}), "loss 'role' reads observed labels"),
    ],
)
def test_wrong_runs(tmp_path, settings, message):
    write_yaml(tmp_path / "run.yaml", settings)
    with pytest.raises(InputError) as error:
        load_run(tmp_path / "run.yaml")
    assert message in str(error.value)
