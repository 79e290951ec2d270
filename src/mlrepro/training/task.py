"""The network of a run and what it is fed: features, maps, captions or pictures."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mlrepro.data.manifest import Manifest
from mlrepro.data.samplers import shuffled_batches
from mlrepro.settings.run import Run
from mlrepro.training.device import device
from mlrepro.training.inputs import Inputs, Sampler
from mlrepro.training.references import resolve
from mlrepro.training.tasks.catalogue import TASKS


@dataclass
class Task:
    """A network, on the device, and what it is fed.

    origin:          source of the pretrained weights, and their sha256.
    features_header: how the features or maps were made, as JSON; empty for other inputs.
    graph:           words and A of the network's label graph, if it has one.
    captions:        the header of the captions' vectors, if it reads them.
    """

    model: nn.Module
    inputs: Inputs
    origin: tuple[str, str | None] = ("none", None)
    features_header: str = ""
    graph: dict[str, np.ndarray] = field(default_factory=dict)
    captions: dict = field(default_factory=dict)


@dataclass(frozen=True)
class TaskRequest:
    """What a task is built from.

    load_weights: the pretrained ones; evaluation loads trained ones over them instead.
    draw:         the batches of an epoch.
    """

    run: Run
    manifest: Manifest
    data_folder: Path
    load_weights: bool
    draw: Sampler
    device: torch.device

    @property
    def num_classes(self) -> int:
        return len(self.manifest.classes)


def create_task(
    run: Run,
    manifest: Manifest,
    data_folder: Path,
    weights: bool = True,
    draw: Sampler = shuffled_batches,
) -> Task:
    """Builds network and inputs, and imports nothing of other kinds of inputs.

    weights, draw: see TaskRequest. Raises InputError for features, captions or weights that are not
    there, or are of other data.
    """
    build = resolve(TASKS[run.inputs])
    return build(TaskRequest(run, manifest, data_folder, weights, draw, device()))
