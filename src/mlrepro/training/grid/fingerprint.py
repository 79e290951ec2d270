"""What a search's results follow from."""

import hashlib
import json

import torch

from mlrepro.code import evaluation_code, search_code
from mlrepro.training.grid.data import Grid


def fingerprint(grid: Grid) -> dict:
    """Everything that determines what a search gives, digests in place of what is long."""
    runs = [run for run, _ in grid.members]
    members = [[run.model_dump(mode="json"), seed] for run, seed in grid.members]
    targets = {
        name: hashlib.sha256(values.numpy()).hexdigest()
        for name, values in grid.targets_by_labels.items()
    }
    return {
        "settings": hashlib.sha256(json.dumps(members).encode()).hexdigest(),
        "manifest": grid.manifest.digest,
        "labels": targets,
        "features": [part.header for part in grid.parts],
        "code": search_code(runs) | evaluation_code(),
        "torch": torch.__version__,
    }
