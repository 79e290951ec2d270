"""What a network is fed: a module a kind of inputs, and the one interface that they have.

A training imports the module of its own inputs alone: one on extracted features needs nothing that
reads pictures.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from torch import Tensor

# (N, batch size, seed, epoch) to the batches of one epoch, as in data/samplers.py.
Sampler = Callable[[int, int, int, int], list[np.ndarray]]
Batches = Iterator[tuple[Tensor, Tensor]]

# Pictures or maps that are scored at once.
EVALUATION_BATCH = 64


class Inputs(Protocol):
    """Batches of what the network reads, each with its manifest rows (B,)."""

    draw: Sampler

    def shuffled(self, rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Batches:
        """One epoch of training on `rows`, drawn by `draw`: of each batch this process's part."""
        ...

    def sequential(self, rows: np.ndarray, augmented: tuple[int, int] | None = None) -> Batches:
        """Every row once, in order, as it is scored.

        augmented: (seed, epoch) whose training inputs are wanted, the same that `shuffled` gives;
        none: as they are.
        """
        ...
