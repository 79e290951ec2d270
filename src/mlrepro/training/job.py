"""One run with one seed before its first step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.manifest import Labels
from mlrepro.losses import create_loss
from mlrepro.losses.base import Loss
from mlrepro.settings.run import Run
from mlrepro.training.device import device
from mlrepro.training.sampling import create_sampler
from mlrepro.training.splits import LabelledData
from mlrepro.training.targets import expected_positives, read_targets
from mlrepro.training.task import Task, create_task


@dataclass
class TrainingJob:
    """What is trained, and on what.

    targets: (train rows, K) int8 that the loss reads, on the device.
    labels:  (rows of the manifest, K) full labels, for validation.
    rows:    of the manifest: train, val, and test with `select_on_test`.
    """

    run: Run
    seed: int
    task: Task
    loss: Loss
    targets: Tensor
    labels: Labels | np.ndarray
    rows: dict[str, np.ndarray]
    device: torch.device


def prepare(run: Run, seed: int, data: LabelledData) -> TrainingJob:
    """Network, inputs, loss and targets of a run. Everything that is drawn follows from the seed.

    Raises InputError where any of them cannot be made.
    """
    targets = read_targets(run, data.manifest)
    sampler = create_sampler(run, data, targets)

    # From here on every draw counts: the network's first weights come next.
    torch.manual_seed(seed)
    task = create_task(run, data.manifest, data.folder, draw=sampler)

    all_targets = torch.from_numpy(targets)
    positives = expected_positives(run, data.labels, data.rows["val"])
    estimates = torch.Generator().manual_seed(seed)  # ROLE draws its first ones
    loss = create_loss(run.loss, all_targets, positives, estimates, run.protocol)

    where = device()
    return TrainingJob(
        run,
        seed,
        task,
        loss.to(where),
        all_targets.to(where),
        data.labels,
        data.rows,
        where,
    )
