"""Runs on extracted feature maps and with a label graph: the same network as on pictures, and nothing of another graph."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import run_settings
from safetensors.torch import load_file

from mlrepro.data.features import features_path
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation import evaluate_run
from mlrepro.models.complexity import measure_cost
from mlrepro.settings.data import Features
from mlrepro.settings.run import Run
from mlrepro.training import run as training
from mlrepro.training.extract import extract
from mlrepro.training.fit import predict

DATA = Path("data/digits")
GRAPH = {"head": "graph", "graph": {"words": "words.txt"}, "head_options": {"layer": "gcn"}}
QUERIES = {"head": "query2label", "head_options": {"heads": 4, "ffn": 32}}
CPU = torch.device("cpu")


def settings(inputs: str = "maps", **changes) -> Run:
    changes = {"inputs": inputs, "resolution": 64, "batch_size": 16, "epochs": 3} | changes
    return Run.model_validate(run_settings("gap-bce-test_resnet-digits-64", **changes))


@pytest.fixture
def weights(repository, monkeypatch) -> str:
    """In `repository`, with word vectors and the maps of a test_resnet whose weights are in this file."""
    monkeypatch.chdir(repository)
    torch.manual_seed(0)
    backbone, _ = training.create_classifier(settings("images"), 10)
    # Statistics other than those a network starts with, so that a batch norm in training mode would be seen.
    backbone.train()(torch.randn(16, 3, 64, 64))
    torch.save(backbone.backbone.net.state_dict(), "weights.pth")
    words = np.random.default_rng(0).standard_normal((10, 6))
    Path("words.txt").write_text(
        "".join(
            f"{name} {' '.join(map(str, vector))}\n"
            for name, vector in zip(read_manifest(DATA).classes, words, strict=True)
        )
    )
    features = Features(backbone="test_resnet", weights="weights.pth", resolution=64, maps=True)
    extract(features, read_manifest(DATA), features_path(DATA, "test_resnet", 64, maps=True), CPU)
    return "weights.pth"


def train(run: Run, out: Path = Path("out"), epoch=lambda _: None):
    tracker = SimpleNamespace(start=lambda _: None, epoch=epoch, finish=lambda *_: None)
    training.train_run(run, 0, DATA, out, "maps", tracker)
    return load_file(out / "last.safetensors")


@pytest.mark.parametrize(
    "changes", [GRAPH, QUERIES, {"head": "mlgcn", "graph": GRAPH["graph"]}, {"head": "csra"}]
)
def test_maps_give_the_logits_of_pictures(weights, changes):
    manifest = read_manifest(DATA)
    whole, head = (
        training.create_task(settings(inputs, weights=weights, **changes), manifest, DATA)
        for inputs in ("images", "maps")
    )
    head.model.load_state_dict(whole.model.head.state_dict())
    rows = manifest.rows("val")[[5, 0, 3]]
    for read in (
        lambda inputs: inputs.sequential(rows),
        lambda inputs: inputs.shuffled(manifest.rows("train"), 16, 0, 2),
    ):
        (pictures, of_pictures), (maps, of_maps) = next(read(whole.inputs)), next(read(head.inputs))
        assert torch.equal(of_pictures, of_maps)
        with torch.no_grad():
            torch.testing.assert_close(
                head.model.eval()(maps), whole.model.eval()(pictures), rtol=1e-4, atol=1e-5
            )
    assert head.origin == whole.origin


def test_interrupted_training_on_maps_gives_the_same_bits(weights):
    def interrupt(entry):
        if entry["epoch"] == 1:
            raise KeyboardInterrupt

    run = settings(weights=weights, **QUERIES)
    wanted = train(run)
    with pytest.raises(KeyboardInterrupt):
        train(run, epoch=interrupt)
    again = train(run, Path("again"))
    assert again.keys() == wanted.keys() and all(
        torch.equal(again[key], wanted[key]) for key in wanted
    )


@pytest.mark.parametrize("inputs", ["maps", "images"])
def test_graph_is_learned_and_kept_with_the_weights(weights, inputs):
    run, manifest = settings(inputs, weights=weights, **GRAPH), read_manifest(DATA)
    trained = train(run)
    prefix = "head." if inputs == "images" else ""
    graph = training.label_graph(run.graph, manifest)
    for key, value in (("inp", graph["words"]), ("A", graph["A"])):
        np.testing.assert_array_equal(trained[prefix + key], value.astype(np.float32))
    record, logits = evaluate_run(run, 0, DATA, Path("out"), "demo", "digits")
    task = training.create_task(run, manifest, DATA, weights=False)
    task.model.load_state_dict(trained)
    batch = next(task.inputs.sequential(manifest.rows("test")))[0]  # all 48
    with torch.no_grad():  # by the plain forward pass: no gates are fixed
        np.testing.assert_allclose(
            task.model.eval()(batch), logits["test_last"], rtol=1e-4, atol=1e-5
        )
    head = 6 * 96 + 96 * 96 + 96 * 10 + 10  # words of 6 numbers, two layers and the classifier
    assert record.cost.trainable_parameters == (
        head if inputs == "maps" else record.cost.parameters
    )
    plain = measure_cost(
        settings(), 10
    )  # at test time, the gates being fixed, the graph costs nothing
    assert (
        record.cost.gmacs == plain.gmacs
        and record.cost.parameters == plain.parameters + 6 * 96 + 96 * 96
    )


def test_gates_are_those_of_the_present_weights(weights):
    task = training.create_task(settings(weights=weights, **GRAPH), read_manifest(DATA), DATA)
    before = predict(task.model, task.inputs, np.arange(4), CPU)
    with torch.no_grad():
        task.model.gc2.weight.neg_()
    assert not np.allclose(predict(task.model, task.inputs, np.arange(4), CPU), before)


def test_training_with_another_graph_is_not_resumed(weights, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings(weights=weights, **GRAPH), epoch=interrupt)
    Path("words.txt").write_text(Path("words.txt").read_text().replace("zero ", "zero 1"))
    train(settings(weights=weights, **GRAPH))
    assert "not resumed, since graph changed" in capsys.readouterr().out


def test_pooled_features_are_no_maps(weights):
    maps = features_path(DATA, "test_resnet", 64, maps=True)
    with pytest.raises(
        InputError, match="test_resnet-32-maps.safetensors: features are not extracted.*maps: true"
    ):
        training.create_task(settings(resolution=32), read_manifest(DATA), DATA)
    maps.rename(features_path(DATA, "test_resnet", 64))
    with pytest.raises(InputError, match="dimensions 4, this run needs 2"):
        training.create_task(settings("features", head="linear"), read_manifest(DATA), DATA)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            GRAPH | {"labels": "single", "loss": {"name": "an"}},
            "`graph` is made from the full labels",
        ),
        ({"graph": GRAPH["graph"]}, "`graph` and `head: graph` or `mlgcn` belong together"),
        (
            {
                "variant": "linear_init",
                "linear_init": {
                    "loss": {"name": "bce"},
                    "optimizer": {"lr": 1},
                    "epochs": 1,
                    "batch_size": 2,
                },
            },
            "`linear_init` needs `head: gap` and `inputs: images`",
        ),
    ],
)
def test_wrong_runs(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)
