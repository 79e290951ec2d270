"""The losses whose gradients are written down, for all members of a stack at once."""

import torch
from torch import Tensor

from mlrepro.losses.grid_terms import GridTerms, label_states
from mlrepro.losses.numerics import EPSILON


class TabulatedLosses:
    """The losses of M members, read from tables of their `GridTerms` (see losses.grid_terms).

    Arrays have a last dimension K: the M members, and after them a second column for each of the R
    members that have label estimates, which must be the last R. A member without terms has zeros:
    its loss is 0 here, and `Stack` takes it on its own.
    """

    def __init__(
        self,
        terms: list[GridTerms | None],
        expected_positives: list[float | None],
        states: Tensor,
        batch_size: int,
    ):
        """states (N, C): the label state of every entry of the training rows."""
        self.states = states
        device = states.device
        classes = states.shape[1]
        self.entries = batch_size * classes  # of a batch, whose mean the losses are

        # The second columns come in the members' order, so that `differentiate` can swap halves.
        self.members = len(terms)
        with_estimates = [i for i, t in enumerate(terms) if t is not None and t.cross_weight]
        self.estimated = len(with_estimates)
        columns = [*range(self.members), *with_estimates]

        positives = []
        negatives = []
        penalties = []
        counts = []
        for member in columns:
            positive, negative = _factors(terms[member])
            positives.append(positive)
            negatives.append(negative)
            penalties.append(terms[member].penalty if terms[member] else 0.0)
            counts.append(expected_positives[member] or 0.0)

        # Divided here once: the losses are means over the entries of a batch.
        self.positive = torch.stack(positives, 1).to(device) / self.entries  # (states, K)
        self.negative = torch.stack(negatives, 1).to(device) / self.entries

        self.penalty = torch.tensor(penalties, device=device)
        self.expected_share = torch.tensor(counts, device=device) / classes
        self.penalised = bool(self.penalty.any())

        # ROLE is the one loss with label estimates: all its members have the same weight.
        self.cross_weight = terms[with_estimates[0]].cross_weight if with_estimates else 0.0

    def factors(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Of -log p and -log(1 - p) of the entries of training rows (S, B): each (S, B, C, K)."""
        states = self.states[positions.flatten()].flatten()
        shape = (*positions.shape, self.states.shape[1], -1)
        positive = self.positive.index_select(0, states).view(shape)
        negative = self.negative.index_select(0, states).view(shape)
        return positive, negative

    def differentiate(
        self,
        logits: Tensor,
        estimates: Tensor | None,
        p: Tensor,
        positive: Tensor,
        negative: Tensor,
    ) -> Tensor:
        """The gradient (B, C, K) by logits (B, C, M) and label estimates (B, C, R), if any.

        Their probabilities are put in `p`, and the terms between classifier and label estimator are
        added to the factors `positive` and `negative`; `values` needs all three, (B, C, K).
        """
        inputs = logits if estimates is None else torch.cat([logits, estimates], 2)
        torch.sigmoid(inputs, out=p)

        # Classifier and label estimator are each other's soft targets: swapped, their columns are
        # the labels, which are constants in the gradient.
        if self.estimated:
            pairs = slice(-2 * self.estimated, None)
            soft = p[..., pairs].roll(self.estimated, 2)
            weight = self.cross_weight / self.entries
            positive[..., pairs].add_(soft, alpha=weight)
            negative[..., pairs].add_(1 - soft, alpha=weight)

        # By the probability first: -a / (p + eps) + b / (1 - p + eps).
        absent = 1 - p
        gradient = (negative / (absent + EPSILON)).addcdiv_(positive, p + EPSILON, value=-1)
        if self.penalised:
            excess = p.sum((0, 1)) / self.entries - self.expected_share
            gradient += 2 * self.penalty / self.entries * excess

        # Then by the logit: sigmoid' = p (1 - p).
        return gradient.mul_(p).mul_(absent)

    def values(self, p: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Each member's losses (M,), added up over the steps, of all (S, B, C, K)."""
        log_p = (p + EPSILON).log()
        log_absent = (1 - p + EPSILON).log()
        log_likelihood = positive * log_p + negative * log_absent

        # The penalty is a square of each batch's own sum; the entries simply add up.
        excess = p.sum((1, 2)) / self.entries - self.expected_share
        penalties = self.penalty * excess**2
        values = penalties.sum(0) - log_likelihood.sum((0, 1, 2))

        # A loss with label estimates is the sum of its two columns.
        values[self.members - self.estimated : self.members] += values[self.members :]
        return values[: self.members]


def _factors(terms: GridTerms | None) -> tuple[Tensor, Tensor]:
    if terms is None:
        nothing = torch.zeros(len(label_states().full))
        return nothing, nothing
    return terms.positive, terms.negative
