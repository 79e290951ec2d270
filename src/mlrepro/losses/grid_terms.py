"""The form in which a loss tells the grid search (mlrepro.training.grid) what to differentiate.

Many losses are the mean over a batch's entries of

    a * -log(p + eps) + b * -log(1 - p + eps),

p the entry's probability, where the factors a and b follow from the entry's labels alone. The
search then needs no automatic differentiation, and takes all its members together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LabelStates:
    """All states in which the labels of an entry can be, one a row (S,).

    full, observed: -1, 0 or 1. iu_negative: whether it is the negative that iu's labels know.
    """

    full: Tensor
    observed: Tensor
    iu_negative: Tensor


@dataclass(frozen=True)
class GridTerms:
    """positive, negative (S,): the factors of -log(p + eps) and -log(1 - p + eps), by label state.

    penalty: the weight of the squared excess of predicted positives (`count_penalty`).
    cross_weight: for ROLE, whose classifier and label estimator are each other's soft targets, the
    weight of these terms, in both directions; 0: the loss has no label estimator.
    """

    positive: Tensor
    negative: Tensor
    penalty: float = 0.0
    cross_weight: float = 0.0


def label_states() -> LabelStates:
    """The states in the order of their numbers, see `state_numbers`."""
    # A number is written with three digits: iu_negative (0 or 1), then full and observed, each
    # raised by 1, to the base 3. There are 2 * 3 * 3.
    number = torch.arange(18)
    return LabelStates(
        full=number % 9 // 3 - 1,
        observed=number % 3 - 1,
        iu_negative=number >= 9,
    )


def state_numbers(full: Tensor, observed: Tensor, iu_negative: Tensor) -> Tensor:
    """The row of `label_states` of every entry, int64, of the arguments' shape."""
    # 9 iu_negative + 3 (full + 1) + (observed + 1), without tensors for what is raised.
    return (4 + 9 * iu_negative + 3 * full + observed).long()
