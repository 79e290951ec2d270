"""A learning rate that rises in equal parts, an epoch a step."""

from torch.optim import Optimizer as TorchOptimizer
from torch.optim.lr_scheduler import LinearLR

from mlrepro.settings.run import Optimizer

FIRST = 1 / 3  # of the lr
EPOCHS = 10  # until it is the lr


def create(optimizer: TorchOptimizer, settings: Optimizer, epochs: int, steps: int) -> LinearLR:
    return LinearLR(optimizer, start_factor=FIRST, total_iters=EPOCHS)
