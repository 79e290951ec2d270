"""The whole network: a backbone and a head, or on extracted features the head alone."""

from torch import Tensor, nn

from mlrepro.config import Run
from mlrepro.models.backbones import Pretrained, create_backbone, map_size
from mlrepro.models.checkpoints import head_options
from mlrepro.models.freeze import freeze
from mlrepro.models.heads import create_head


class Classifier(nn.Module):
    """Pictures (B, 3, S, S), or a pair of them and their captions' vectors, to logits (B, K): head(backbone(pictures)).

    freezing: see models/freeze.py.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, freezing: str = "none"):
        super().__init__()
        self.backbone, self.head = backbone, head
        self.constant = freeze(backbone, freezing)

    def train(self, mode: bool = True):
        super().train(mode)
        for module in self.constant:
            module.eval()
        return self

    def forward(self, batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        pictures, *vectors = batch if isinstance(batch, tuple) else (batch,)
        return self.head(self.backbone(pictures), *vectors)


def create_classifier(run: Run, num_classes: int, **options) -> tuple[Classifier, Pretrained]:
    """The network of a run that reads pictures, with its backbone's weights loaded. options: of the head, from the data."""
    backbone, pretrained = create_backbone(run.backbone, run.weights, run.resolution)
    head = create_head(run.head, backbone.channels, num_classes, map_size(run.backbone, run.resolution),
                       **head_options(run), **options)
    return Classifier(backbone, head, run.freeze), pretrained
