"""A training imports what it computes with, and nothing that other trainings need."""

import json

import forks
import pytest
import torch
from conftest import LINEAR

from mlrepro.training.optimizers.eager import eager

# What a training on extracted features, with the linear head, BCE and Adam, has no use for.
HEAVY = {
    "PIL",
    "matplotlib",
    "mlflow",
    "numba",
    "sqlalchemy",
    "timm",
    "torch._dynamo",
    "torchvision",
    "transformers",
}
OF_PICTURES = {
    "mlrepro.data.images",
    "mlrepro.models.backbones",
    "mlrepro.models.classifier",
    "mlrepro.training.inputs.pictures",
}
FEATURE_RUN = """
import sys

import mlrepro.training.train
from mlrepro.models.heads import create_head
from mlrepro.training.optimizers.catalogue import OPTIMIZERS
from mlrepro.training.references import resolve
from mlrepro.training.tasks.catalogue import TASKS

create_head("linear", 3, 2, None)
resolve(OPTIMIZERS["adam"])
resolve(TASKS["features"])
print(*sys.modules)
"""


def test_a_training_on_features_imports_nothing_of_pictures():
    imported = set(forks.run("-c", FEATURE_RUN).split())
    assert "mlrepro.training.tasks.features" in imported
    assert imported & (HEAVY | OF_PICTURES) == set()


# ---- Whole stages ------------------------------------------------------------------------------

NOT_OF_STAGES = HEAVY | {"pandas", "scipy", "sklearn", "sympy", "torch._inductor", "setuptools"}
STAGE = """
import json, runpy, sys

sys.argv = sys.argv[1:]
sys.path[0] = "stages"
runpy.run_path(sys.argv[0], run_name="__main__")
print("IMPORTED " + json.dumps(list(sys.modules)))
"""


def imported_by_stage(repository, name: str) -> set[str]:
    arguments = [f"stages/{name}.py", "params.yaml", LINEAR, "0"]
    output = forks.run("-c", STAGE, *arguments, folder=repository)
    return set(json.loads(output.rpartition("IMPORTED ")[2]))


def test_train_and_evaluate_of_a_feature_run_import_what_they_compute_with(repository):
    for name in ("train", "evaluate"):
        imported = imported_by_stage(repository, name)
        assert "torch" in imported
        assert imported & (NOT_OF_STAGES | OF_PICTURES) == set(), name


OPTIMIZERS = [
    (torch.optim.Adam, {}),
    (torch.optim.AdamW, {}),
    (torch.optim.SGD, {"momentum": 0.9}),
]


def weights_of(optimizer_class, **options) -> torch.Tensor:
    """After some steps, of which half come after a state that was read back."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(20, 3)
    settings = {"lr": 0.1, "weight_decay": 0.01, **options}
    optimizer = optimizer_class(layer.parameters(), **settings)
    for step in range(20):
        optimizer.zero_grad()
        layer(torch.randn(8, 20)).square().mean().backward()
        optimizer.step()
        if step == 10:
            state = optimizer.state_dict()
            optimizer = optimizer_class(layer.parameters(), **settings)
            optimizer.load_state_dict(state)
    return layer.weight


@pytest.mark.parametrize("plain, options", OPTIMIZERS, ids=["adam", "adamw", "sgd"])
def test_optimisers_without_the_compiler_give_torchs_bits(plain, options):
    assert torch.equal(weights_of(eager(plain), **options), weights_of(plain, **options))
