"""What is frozen: no gradient, no optimiser group, no change of weights or statistics."""

import copy

import numpy as np
import pytest
import torch
from conftest import PICTURES, run_settings
from test_modes import Memory
from torch import nn

from mlrepro.errors import InputError
from mlrepro.losses.base import BatchLoss
from mlrepro.losses.binary import bce
from mlrepro.models.backbones import Backbone
from mlrepro.models.classifier import Classifier, create_classifier
from mlrepro.models.complexity import measure_cost
from mlrepro.settings.run import Run
from mlrepro.training.fit import fit, predict
from mlrepro.training.inputs import FeatureInputs
from mlrepro.training.optimizers import create_optimizer

CPU = torch.device("cpu")


def make_run(**changes) -> Run:
    return Run.model_validate(
        run_settings(PICTURES, epochs=2, batch_size=4, optimizer={"name": "sgd", "lr": 0.1})
        | changes
    )


def train(run: Run, model: nn.Module, inputs: torch.Tensor) -> None:
    labels = (np.random.default_rng(0).random((20, 6)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(16), "val": np.arange(16, 20)}
    fit(
        run,
        0,
        model,
        BatchLoss(bce),
        FeatureInputs(inputs, CPU),
        torch.from_numpy(labels[:16]),
        labels,
        rows,
        Memory(),
        CPU,
        lambda _: None,
        lambda _: None,
    )


def pictures() -> torch.Tensor:
    return torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def changed(before: dict, after: dict) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize("freeze", ["none", "query2label", "backbone"])
def test_frozen_resnet_keeps_weights_and_statistics(freeze):
    torch.manual_seed(0)
    run = make_run(freeze=freeze, ema=0.5)  # the averaged copy must keep it too
    model, _ = create_classifier(run, 6)
    before = copy.deepcopy(model.state_dict())
    train(run, model, pictures())
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    found = changed(before, model.state_dict())
    if freeze == "query2label":
        stages = {f"backbone.net.layer{i}" for i in (2, 3, 4)}
        assert {".".join(key.split(".")[:3]) for key in found} == stages | {
            "head.fc.weight",
            "head.fc.bias",
        }
        assert not any(key.rpartition(".")[0] in norms for key in found)
    else:
        assert found == {key for key in before if freeze == "none" or key.startswith("head.")}
    assert measure_cost(run, 6).trainable_parameters == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    groups = create_optimizer(run, model, BatchLoss(bce), 1)[0].param_groups
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for p in model.parameters() if p.requires_grad
    }


def test_frozen_backbone_equals_training_on_its_maps():
    torch.manual_seed(0)
    run = make_run(freeze="backbone", epochs=3)
    model, _ = create_classifier(run, 6)
    head, inputs = copy.deepcopy(model.head), pictures()
    maps = torch.from_numpy(predict(model.backbone, FeatureInputs(inputs, CPU), np.arange(20), CPU))
    train(run, model, inputs)
    train(run, head, maps)
    for name, value in head.state_dict().items():
        torch.testing.assert_close(value, model.head.state_dict()[name], rtol=1e-4, atol=1e-6)


def frozen_parameters(name: str, resolution: int) -> set[str]:
    with torch.device("meta"):
        backbone = Backbone(name, resolution)
        Classifier(backbone, nn.Linear(1, 1), "query2label")
    return {key for key, p in backbone.net.named_parameters() if not p.requires_grad}


def test_query2label_freezes_the_first_stages_of_tresnet_and_nothing_of_swin_and_cvt():
    frozen = frozen_parameters("tresnet_l", 448)
    assert {key.split(".")[1] for key in frozen} == {"conv1", "layer1"}
    assert any(".bn" in key for key in frozen)
    assert (
        frozen_parameters("swin_tiny_patch4_window7_224", 224)
        == frozen_parameters("cvt_w24", 384)
        == set()
    )
    assert (
        len(frozen_parameters("resnet101", 448)) > 200
    )  # 104 batch norms with two parameters each, and the first convolutions
    with pytest.raises(
        InputError, match="freeze: query2label is known for ResNet, TResNet, Swin and CvT only"
    ):
        frozen_parameters("efficientnet_lite0", 224)


def test_freeze_needs_pictures():
    with pytest.raises(ValueError, match="`freeze` needs `inputs: images`"):
        make_run(inputs="maps", freeze="backbone")
