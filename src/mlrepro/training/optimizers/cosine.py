"""A learning rate that falls to 0 along half a cosine, an epoch a step."""

from torch.optim import Optimizer as TorchOptimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from mlrepro.settings.run import Optimizer


def create(
    optimizer: TorchOptimizer, settings: Optimizer, epochs: int, steps: int
) -> CosineAnnealingLR:
    return CosineAnnealingLR(optimizer, T_max=epochs)
