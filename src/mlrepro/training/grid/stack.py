"""The members of one seed and batch size that step together."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mlrepro.data.samplers import shuffled_batches
from mlrepro.losses import create_grid_terms, create_loss
from mlrepro.losses.base import Loss
from mlrepro.losses.grid_terms import state_numbers
from mlrepro.settings.run import Run
from mlrepro.training.grid.data import GridData
from mlrepro.training.grid.layers import StackedLayers
from mlrepro.training.grid.lazy_adam import LazyAdam
from mlrepro.training.grid.outcome import Outcome
from mlrepro.training.grid.tabulated import TabulatedLosses
from mlrepro.training.optimizers.create import LOSS_LR_FACTOR
from mlrepro.training.targets import expected_positives

# Training rows whose features are gathered at once: fewer operations, and still few enough for a
# processor's cache.
CHUNK = 256

# Rows of label estimates that are read at once: LazyAdam takes LAG times their memory.
ESTIMATES_READ = 32


@dataclass(frozen=True)
class SeparateLoss:
    """The loss of a member whose gradient torch computes; targets (N, C) of all training rows."""

    member: int
    loss: Loss
    targets: Tensor


def has_label_estimates(run: Run, classes: int) -> bool:
    terms = create_grid_terms(run.loss, classes)
    return terms is not None and terms.cross_weight > 0


class Stack:
    """Linear layers of one seed and batch size that step together.

    Those with label estimates (ROLE) come last. Their losses are in `tabulated`, where they have
    the form for it, else in `separate`.
    """

    def __init__(self, outcomes: list[Outcome], layer: nn.Linear, data: GridData):
        runs = [outcome.run for outcome in outcomes]
        self.seed = outcomes[0].seed
        self.batch_size = runs[0].batch_size
        self.epochs = runs[0].epochs
        self.members = len(runs)

        self.features = data.features
        self.train_rows = data.row_tensor("train")
        self.lr = torch.tensor([run.optimizer.lr for run in runs], device=data.device)
        self.layers = StackedLayers(layer, self.lr)
        self._prepare_losses(runs, data)

    def _prepare_losses(self, runs: list[Run], data: GridData) -> None:
        targets = {name: t.to(data.device) for name, t in data.targets_by_labels.items()}
        absent = torch.zeros_like(targets["full"])
        states = state_numbers(
            full=targets["full"],
            observed=targets.get("single", absent),
            iu_negative=targets.get("iu", absent) == -1,
        )

        # Every member gets a place in the tables; those without terms have zeros there.
        terms = [create_grid_terms(run.loss, data.classes) for run in runs]
        counts = [expected_positives(run, data.labels, data.rows["val"]) for run in runs]
        self.tabulated = TabulatedLosses(terms, counts, states, self.batch_size)

        losses = []
        self.separate = []
        for member, (run, count) in enumerate(zip(runs, counts, strict=True)):
            read = targets["iu" if run.loss.name == "iu" else run.labels]
            generator = torch.Generator().manual_seed(self.seed)
            loss = create_loss(run.loss, read, count, generator).to(data.device)
            losses.append(loss)
            if terms[member] is None:
                self.separate.append(SeparateLoss(member, loss, read))

        # ROLE's label estimates of all its members in one array.
        self.estimated = self.tabulated.estimated
        self.estimating_losses = losses[self.members - self.estimated :]
        if self.estimated:
            start = torch.stack([loss.logits.detach() for loss in self.estimating_losses], 2)
            self.estimates = LazyAdam(start, LOSS_LR_FACTOR * self.lr[-self.estimated :])

    def train_epoch(self, epoch: int) -> np.ndarray:
        """One pass over the training rows; each member's mean loss (M,)."""
        order = np.stack(shuffled_batches(len(self.train_rows), self.batch_size, self.seed, epoch))
        for separate in self.separate:
            separate.loss.start_epoch(epoch, self.epochs)

        total = torch.zeros(self.members, dtype=torch.float64, device=self.features.device)
        batches = torch.from_numpy(order).to(self.features.device)
        for positions in batches.split(max(1, CHUNK // self.batch_size)):
            total += self.steps(positions)

        for separate in self.separate:
            separate.loss.end_epoch(lambda member=separate.member: self._train_logits(member))
        return (total / len(order)).cpu().numpy()

    def _train_logits(self, member: int) -> Tensor:
        return linear(self.features[self.train_rows], **self.layers.weights(member))

    def steps(self, positions: Tensor) -> Tensor:
        """A step of every member on each batch of training rows in `positions` (S, B).

        Returns the sum of each member's losses (M,).
        """
        batches, transposed = self.gather(positions)
        positive, negative = self.tabulated.factors(positions)
        p = torch.empty_like(positive)
        separate_values = torch.zeros(self.members, device=self.lr.device)

        estimates = [None] * len(batches)
        estimate_gradients = []
        if self.estimated:
            estimates = self.estimates.read(positions)

        # Each batch sees the weights that the one before it made.
        for step, batch in enumerate(batches):
            logits = self.layers.forward(batch)
            gradient = self.tabulated.differentiate(
                logits, estimates[step], p[step], positive[step], negative[step]
            )
            if self.estimated:
                estimate_gradients.append(gradient[..., self.members :])
                gradient = gradient[..., : self.members].contiguous()
            if self.separate:
                separate_values += self._differentiate_separate(logits, positions[step], gradient)
            self.layers.update(transposed[step], gradient)

        # An epoch shows a row once, so that its label estimates are not read again in this chunk.
        if self.estimated:
            self.estimates.update(positions, torch.stack(estimate_gradients))
        return separate_values + self.tabulated.values(p, positive, negative)

    def gather(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the training rows (S, B): (S, B, D) and (S, D, B)."""
        rows = self.train_rows[positions.flatten()]
        batches = self.features.index_select(0, rows).view(*positions.shape, -1)
        return batches, batches.transpose(1, 2).contiguous()

    def _differentiate_separate(
        self, logits: Tensor, positions: Tensor, gradient: Tensor
    ) -> Tensor:
        """Puts the gradients of `separate` losses in theirs, and returns their values (M,)."""
        columns = [separate.member for separate in self.separate]
        # Copies, which are leaves of the graph: the logits themselves have no gradient.
        inputs = [logits[..., member].clone().requires_grad_() for member in columns]
        losses = [
            separate.loss(own_logits, separate.targets[positions], positions)
            for own_logits, separate in zip(inputs, self.separate, strict=True)
        ]
        gradient[..., columns] = torch.stack(torch.autograd.grad(sum(losses), inputs), 2)

        values = torch.zeros(self.members, device=self.lr.device)
        values[columns] = torch.stack(losses).detach()
        return values

    def diagnostics(self, labels: np.ndarray) -> list[dict[str, float]]:
        """What each member's loss tells of its state at the end of an epoch.

        labels (N, C): the training rows' true ones.
        """
        without = [{} for _ in range(self.members - self.estimated)]
        if not self.estimated:
            return without

        rows = torch.arange(len(labels), device=self.lr.device).split(ESTIMATES_READ)
        estimates = torch.cat([self.estimates.read(part[None])[0] for part in rows])

        told = []
        for loss, estimate in zip(self.estimating_losses, estimates.unbind(2), strict=True):
            loss.logits.data = estimate
            told.append({} if estimate.isnan().any() else loss.diagnostics(labels))
        return without + told
