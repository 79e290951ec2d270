"""What is frozen: no gradient, no optimiser group, no change of weights or statistics."""

import copy

import numpy as np
import pytest
import torch
from conftest import PICTURES, run_settings
from torch import nn
from toys import CPU, toy_job

from mlrepro.errors import InputError
from mlrepro.losses.base import BatchLoss
from mlrepro.losses.binary import bce
from mlrepro.models.backbones import Backbone
from mlrepro.models.classifier import Classifier, create_classifier
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.settings.run import Run
from mlrepro.training.fit import fit
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.optimizers.create import create_optimizer
from mlrepro.training.predict import predict

CLASSES = 6
RESNET101_FROZEN_AT_LEAST = 200  # of 104 batch norms two each, and the first convolutions


def make_run(**changes) -> Run:
    optimizer = {"name": "sgd", "lr": 0.1}
    settings = run_settings(PICTURES, epochs=2, batch_size=4, optimizer=optimizer)
    return Run.model_validate(settings | changes)


def train(run: Run, model: nn.Module, inputs: torch.Tensor) -> None:
    labels = (np.random.default_rng(0).random((20, CLASSES)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(16), "val": np.arange(16, 20)}
    fit(toy_job(run, model, FeatureInputs(inputs, CPU), labels, rows, BatchLoss(bce)))


def pictures() -> torch.Tensor:
    return torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def changed_keys(before: dict, after: dict) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


def learned(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("freeze", ["none", "query2label", "backbone"])
def test_frozen_resnet_keeps_weights_and_statistics(freeze):
    torch.manual_seed(0)
    run = make_run(freeze=freeze, ema=0.5)  # the averaged copy must keep it too
    model, _ = create_classifier(run, CLASSES)
    before = copy.deepcopy(model.state_dict())
    train(run, model, pictures())
    changed = changed_keys(before, model.state_dict())

    if freeze == "none":
        assert changed == set(before)
    elif freeze == "backbone":
        assert changed == {key for key in before if key.startswith("head.")}
    else:
        layers = {f"backbone.net.layer{i}" for i in (2, 3, 4)}
        classifier = {"head.fc.weight", "head.fc.bias"}
        assert {".".join(key.split(".")[:3]) for key in changed} == layers | classifier

        modules = model.named_modules()
        norms = {name for name, module in modules if isinstance(module, nn.BatchNorm2d)}
        assert not norms & {key.rpartition(".")[0] for key in changed}

    numbers = sum(p.numel() for p in learned(model))
    assert measure_cost(run, CLASSES).trainable_parameters == numbers

    optimizer, _ = create_optimizer(run, model, BatchLoss(bce), 1)
    in_groups = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert in_groups == {id(p) for p in learned(model)}


def test_frozen_backbone_equals_training_on_its_maps():
    torch.manual_seed(0)
    run = make_run(freeze="backbone", epochs=3)
    model, _ = create_classifier(run, CLASSES)
    head = copy.deepcopy(model.head)
    maps = predict(model.backbone, FeatureInputs(pictures(), CPU), np.arange(20), CPU)

    train(run, model, pictures())
    train(run, head, torch.from_numpy(maps))
    for name, value in head.state_dict().items():
        together = model.head.state_dict()[name]
        torch.testing.assert_close(value, together, rtol=1e-4, atol=1e-6)


def frozen_parameters(name: str, resolution: int) -> set[str]:
    """Those that `freeze: query2label` freezes of a backbone."""
    with torch.device("meta"):
        backbone = Backbone(name, resolution)
        Classifier(backbone, nn.Linear(1, 1), "query2label")
    return {key for key, p in backbone.net.named_parameters() if not p.requires_grad}


def test_query2label_freezes_the_first_stages_of_tresnet_and_nothing_of_swin_and_cvt():
    of_tresnet = frozen_parameters("tresnet_l", 448)
    assert {key.split(".")[1] for key in of_tresnet} == {"conv1", "layer1"}
    assert any(".bn" in key for key in of_tresnet)

    assert frozen_parameters("swin_tiny_patch4_window7_224", 224) == set()
    assert frozen_parameters("cvt_w24", 384) == set()
    assert len(frozen_parameters("resnet101", 448)) > RESNET101_FROZEN_AT_LEAST

    message = "freeze: query2label is known for ResNet, TResNet, Swin and CvT only"
    with pytest.raises(InputError, match=message):
        frozen_parameters("efficientnet_lite0", 224)


def test_freeze_needs_pictures():
    with pytest.raises(ValueError, match="`freeze` needs `inputs: images`"):
        make_run(inputs="maps", freeze="backbone")
