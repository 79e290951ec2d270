"""A training imports what it computes with, and nothing that other trainings need."""

import subprocess
import sys

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
    command = [sys.executable, "-c", FEATURE_RUN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "mlrepro.training.tasks.features" in imported
    assert imported & (HEAVY | OF_PICTURES) == set()
