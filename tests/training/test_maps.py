"""Runs on extracted feature maps and with a label graph.

The same network as on pictures, and nothing of another graph.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run_settings
from train_here import DATA, OUT, assert_interruption_changes_no_bit, train, train_interrupted

from mlrepro.data.features import features_path
from mlrepro.data.graph import label_graph
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.models.classifier import create_classifier
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.models.complexity.parts import add_head, backbone_cost
from mlrepro.settings.data import Features
from mlrepro.settings.run import Run
from mlrepro.training.extract import extract
from mlrepro.training.predict import predict
from mlrepro.training.task import create_task
from mlrepro.training.train import train_run

CPU = torch.device("cpu")

GRAPH = {"head": "graph", "graph": {"words": "words.txt"}, "head_options": {"layer": "gcn"}}
MLGCN = {"head": "mlgcn", "graph": {"words": "words.txt"}}
QUERIES = {"head": "query2label", "head_options": {"heads": 4, "ffn": 32}}
CSRA = {"head": "csra"}


def settings(inputs: str = "maps", **changes) -> Run:
    changes = {"inputs": inputs, "resolution": 64, "batch_size": 16, "epochs": 3} | changes
    return Run.model_validate(run_settings("gap-bce-test_resnet-digits-64", **changes))


@pytest.fixture
def weights(repository, monkeypatch) -> str:
    """In `repository`, with word vectors and the maps of a test_resnet of these weights."""
    monkeypatch.chdir(repository)
    manifest = read_manifest(DATA)
    torch.manual_seed(0)
    model, _ = create_classifier(settings("images"), 10)
    # Statistics other than those a network starts with, so that a batch norm in training mode would
    # be seen.
    model.train()(torch.randn(16, 3, 64, 64))
    torch.save(model.backbone.net.state_dict(), "weights.pth")

    words = np.random.default_rng(0).standard_normal((10, 6))
    with Path("words.txt").open("w") as file:
        for name, vector in zip(manifest.classes, words, strict=True):
            file.write(f"{name} {' '.join(map(str, vector))}\n")

    features = Features(backbone="test_resnet", weights="weights.pth", resolution=64, maps=True)
    extract(features, manifest, features_path(DATA, "test_resnet", 64, maps=True), CPU)
    return "weights.pth"


# --- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [GRAPH, QUERIES, MLGCN, CSRA], ids=lambda head: head["head"])
def test_maps_give_the_logits_of_pictures(weights, head):
    manifest = read_manifest(DATA)
    on_pictures = create_task(settings("images", weights=weights, **head), manifest, DATA)
    on_maps = create_task(settings("maps", weights=weights, **head), manifest, DATA)
    on_maps.model.load_state_dict(on_pictures.model.head.state_dict())
    assert on_maps.origin == on_pictures.origin

    def scored(inputs):
        return next(inputs.sequential(manifest.rows("val")[[5, 0, 3]]))

    def trained_on(inputs):
        return next(inputs.shuffled(manifest.rows("train"), 16, 0, 2))

    for first_batch in (scored, trained_on):
        pictures, rows_of_pictures = first_batch(on_pictures.inputs)
        maps, rows_of_maps = first_batch(on_maps.inputs)
        assert torch.equal(rows_of_pictures, rows_of_maps)
        with torch.no_grad():
            wanted = on_pictures.model.eval()(pictures)
            logits = on_maps.model.eval()(maps)
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)


def test_interrupted_training_on_maps_gives_the_same_bits(weights):
    assert_interruption_changes_no_bit(settings(weights=weights, **QUERIES))


def test_pooled_features_are_no_maps(weights):
    manifest = read_manifest(DATA)
    with pytest.raises(
        InputError, match="test_resnet-32-maps.safetensors: features are not extracted.*maps: true"
    ):
        create_task(settings(resolution=32), manifest, DATA)

    maps = features_path(DATA, "test_resnet", 64, maps=True)
    maps.rename(features_path(DATA, "test_resnet", 64))
    with pytest.raises(InputError, match="dimensions 4, this run needs 2"):
        create_task(settings("features", head="linear"), manifest, DATA)


# --- graphs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "prefix"), [("maps", ""), ("images", "head.")])
def test_graph_is_learned_and_kept_with_the_weights(weights, inputs, prefix):
    run = settings(inputs, weights=weights, **GRAPH)
    manifest = read_manifest(DATA)
    trained = train(run)

    graph = label_graph(run.graph, manifest)
    words = trained[f"{prefix}inp"]
    matrix = trained[f"{prefix}A"]
    np.testing.assert_array_equal(words, graph["words"].astype(np.float32))
    np.testing.assert_array_equal(matrix, graph["A"].astype(np.float32))

    _, logits = evaluate_run(run, 0, DATA, OUT, EvaluationPlan("demo", "digits"))
    task = create_task(run, manifest, DATA, weights=False)
    task.model.load_state_dict(trained)
    batch, _ = next(task.inputs.sequential(manifest.rows("test")))  # all 48
    with torch.no_grad():  # by the plain forward pass: no gates are fixed
        wanted = task.model.eval()(batch)
    np.testing.assert_allclose(wanted, logits["test_last"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", ["maps", "images"])
def test_graph_costs_parameters_but_no_operations(weights, inputs):
    run = settings(inputs, weights=weights, **GRAPH)
    train(run)
    record, _ = evaluate_run(run, 0, DATA, OUT, EvaluationPlan("demo", "digits"))

    # Words of 6 numbers, two layers and the classifier.
    layers = 6 * 96 + 96 * 96
    head = layers + 96 * 10 + 10
    trainable = head if inputs == "maps" else record.cost.parameters
    assert record.cost.trainable_parameters == trainable

    # At test time, the gates being fixed, the graph costs nothing.
    plain = measure_cost(settings(), 10)
    assert record.cost.gmacs == plain.gmacs
    assert record.cost.parameters == plain.parameters + layers


def test_gates_are_those_of_the_present_weights(weights):
    task = create_task(settings(weights=weights, **GRAPH), read_manifest(DATA), DATA)
    before = predict(task.model, task.inputs, np.arange(4), CPU)
    with torch.no_grad():
        task.model.gc2.weight.neg_()
    after = predict(task.model, task.inputs, np.arange(4), CPU)
    assert not np.allclose(after, before)


def test_training_with_another_graph_is_not_resumed(weights, capsys):
    run = settings(weights=weights, **GRAPH)
    train_interrupted(run, after_epoch=0)
    words = Path("words.txt").read_text()
    Path("words.txt").write_text(words.replace("zero ", "zero 1"))
    train(run)
    assert "not resumed, since graph changed" in capsys.readouterr().out


LINEAR_STAGE = {"loss": {"name": "bce"}, "optimizer": {"lr": 1}, "epochs": 1, "batch_size": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            GRAPH | {"labels": "single", "loss": {"name": "an"}},
            "`graph` is made from the full labels",
        ),
        ({"graph": GRAPH["graph"]}, "`graph` and `head: graph` or `mlgcn` belong together"),
        (
            {"variant": "linear_init", "linear_init": LINEAR_STAGE},
            "`linear_init` needs `head: gap` and `inputs: images`",
        ),
    ],
)
def test_wrong_runs(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


# ---- Cost from two parts -----------------------------------------------------------------------

WORDS = np.random.default_rng(0).standard_normal((10, 6))
GRAPH_OF_TEN = {"words": WORDS, "A": np.eye(10)}
HEADS_ON_MAPS = {
    "gap": {},
    "angular": {"head_options": {"angular": True}, "loss": {"name": "aam"}},
    "gmp": {"head": "gmp"},
    "gapgmp": {"head": "gapgmp"},
    "query2label": QUERIES,
    "ml_decoder": {"head": "ml_decoder", "head_options": {"heads": 4, "embedding": 32, "ffn": 64}},
    "csra": {"head": "csra", "head_options": {"heads": 4}},
    "mlgcn": MLGCN,
    "graph": GRAPH,
    "boostlu": {"head": "boostlu"},
    "mlp": {"head": "mlp"},
}


@pytest.mark.parametrize("name", HEADS_ON_MAPS)
def test_cost_from_parts_is_that_of_the_whole_network(name):
    run = settings(**HEADS_ON_MAPS[name])
    graph = GRAPH_OF_TEN if run.graph else {}
    backbone = backbone_cost(run.backbone, run.resolution)
    assert add_head(run, 10, backbone, **graph) == measure_cost(run, 10, **graph)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "alexnet", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("text_dim", [0, 384])
def test_cost_from_parts_of_a_linear_layer_on_features(backbone, text_dim):
    run_id = f"linear-bce-{backbone}-digits-224"
    run = Run.model_validate(run_settings(run_id, resolution=224, backbone=backbone))
    of_backbone = backbone_cost(backbone, 224)
    assert add_head(run, 10, of_backbone, text_dim) == measure_cost(run, 10, text_dim)


def test_a_record_has_the_same_cost_whether_the_features_tell_it_or_not(weights, monkeypatch):
    run = settings(weights=weights)
    train_run(run, 0, DATA, OUT, "cost")
    record, _ = evaluate_run(run, 0, DATA, OUT, EvaluationPlan("demo", "digits"))

    def without_cost(*arguments, **named):
        task = create_task(*arguments, **named)
        header = json.loads(task.features_header)
        del header["cost"]
        return dataclasses.replace(task, features_header=json.dumps(header))

    monkeypatch.setattr("mlrepro.evaluation.record.create_task", without_cost)
    measured, _ = evaluate_run(run, 0, DATA, OUT, EvaluationPlan("demo", "digits"))
    assert measured.cost == record.cost
