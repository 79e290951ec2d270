"""Adam on values of which a step has gradients for a few rows alone."""

import torch
from torch import Tensor

# torch.optim.Adam's defaults.
BETA1 = 0.9
BETA2 = 0.999
ADAM_EPSILON = 1e-8

# 0.9^160 is below float32's rounding: what a row without gradient still moves after so many steps
# is nothing.
LAG = 160


class LazyAdam:
    """Adam on values (N, C, R) of which a step has gradients for a few rows alone; lr (R,).

    The other rows move, too, through their momentum. That movement is a sum of known terms, and is
    made up for when a row is read the next time: the values then are those of the dense Adam, to
    rounding.
    """

    def __init__(self, start: Tensor, lr: Tensor):
        device = start.device
        nothing = torch.zeros_like(start)
        self.state = torch.stack([start, nothing, nothing], 1)  # value, first and second moment
        self.lr = lr
        self.step = 0

        # The step that a row's state is of.
        self.seen = torch.zeros(len(start), dtype=torch.float64, device=device)

        self.lags = torch.arange(1, LAG + 1, dtype=torch.float64, device=device)
        self.mean_decay = BETA1**self.lags
        self.square_decay = BETA2**self.lags

    def read(self, rows: Tensor) -> Tensor:
        """The values (S, B, C, R) of `rows` (S, B), as they are before each of the next S steps.

        The rows must be all different; `update` with the same rows must follow.
        """
        value, first, second = self.state[rows].unbind(2)
        coming = torch.arange(1, len(rows) + 1, dtype=torch.float64, device=rows.device)
        steps = (self.step + coming)[:, None]
        seen = self.seen[rows][..., None]
        missed = steps[..., None] - 1 - seen

        # The moves that the row missed, and the decay of its moments meanwhile.
        value = value - self.lr * self._missed_moves(first, second, seen, missed) * first
        self.read_state = (
            steps,
            value,
            first * (BETA1**missed)[..., None].float(),
            second * (BETA2**missed)[..., None].float(),
        )
        return value

    def _missed_moves(self, first: Tensor, second: Tensor, seen: Tensor, missed: Tensor) -> Tensor:
        """What lr and the first moment are multiplied with, of moments (S, B, C, R).

        It is the sum over the missed steps of mean / (root * sqrt(second) + eps), where mean and
        root are Adam's decays with their corrections of the bias.
        """
        # By lag, from 1 to LAG steps after the state's: decay of a moment over its bias then.
        mean = self.mean_decay / (1 - BETA1**seen * self.mean_decay)
        square = self.square_decay / (1 - BETA2**seen * self.square_decay)

        # Lags that a row has not missed count nothing.
        mean = (mean * (self.lags <= missed)).float()  # (S, B, lags)
        root = square.sqrt().float()
        size = second.sqrt().flatten(2)[:, :, None]  # (S, B, 1, C * R)

        # A step at a time: all lags of all rows of a chunk would take too much memory.
        moves = []
        for step_mean, step_root, step_size in zip(mean, root, size, strict=True):
            denominator = (step_root[..., None] * step_size).add_(ADAM_EPSILON)
            inverse = denominator.reciprocal_()  # in place, as all of its size: (B, lags, C * R)
            moves.append(torch.bmm(step_mean[:, None], inverse))  # with (B, 1, lags)
        return torch.stack(moves).view_as(first)

    def update(self, rows: Tensor, gradient: Tensor) -> None:
        """S steps with the gradients (S, B, C, R) of the rows that were read last."""
        steps, value, first, second = self.read_state
        first = torch.lerp(first, gradient, 1 - BETA1)
        second = BETA2 * second + (1 - BETA2) * gradient**2

        # Adam's correction of the moments' bias towards their start at 0, computed in float64: in
        # float32 1 - 0.999 would have four digits left.
        mean_bias = (1 - BETA1**steps)[..., None, None]
        square_bias = (1 - BETA2**steps)[..., None, None]

        step_size = self.lr / mean_bias.float()
        root = second.sqrt() / square_bias.sqrt().float()
        value = value - step_size * first / (root + ADAM_EPSILON)

        self.state[rows] = torch.stack([value, first, second], 2)
        self.seen[rows] = steps.expand(rows.shape)
        self.step += len(rows)
