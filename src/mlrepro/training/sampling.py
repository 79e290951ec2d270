"""Which sampler draws a run's epochs (data/samplers.py)."""

from functools import partial

import numpy as np

from mlrepro.data.samplers import class_uniform_batches, shard_batches, shuffled_batches
from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training.inputs import Sampler
from mlrepro.training.splits import LabelledData


def create_sampler(run: Run, data: LabelledData, targets: np.ndarray) -> Sampler:
    """The sampler that a run names.

    targets (train rows, K): the labels that it reads, by which `class_uniform` draws. Raises
    InputError for `shards` where the data set has none.
    """
    if run.sampler == "class_uniform":
        positives = np.nonzero(targets > 0)
        return partial(class_uniform_batches, positives=positives, classes=data.manifest.classes)
    if run.sampler == "shards":
        return partial(shard_batches, shards=_shard_numbers(run, data))
    return shuffled_batches


def _shard_numbers(run: Run, data: LabelledData) -> np.ndarray:
    """(train rows,) the number of each row's shard."""
    if "shards" not in data.manifest.summary:
        raise InputError(
            f"{run.run_id}: `sampler: shards`, but {run.data} has none; set `shards` in the data "
            "set's settings"
        )

    from mlrepro.data.shards import ShardReader  # here: features have none

    return ShardReader(data.manifest).shard[data.rows["train"]]
