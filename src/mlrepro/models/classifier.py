"""The whole network: a backbone and a head, or on extracted features the head alone."""

from timm.models import ResNet, SwinTransformer, TResNet
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlrepro.errors import InputError
from mlrepro.models.backbones import Origin, create_backbone, map_size
from mlrepro.models.checkpoints import head_options
from mlrepro.models.cvt import CvTW24
from mlrepro.models.heads import create_head
from mlrepro.settings.run import Run


class Classifier(nn.Module):
    """Pictures (B, 3, S, S), or a pair of them and their captions' vectors, to logits (B, K): head(backbone(pictures))."""

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


def create_classifier(run: Run, num_classes: int, **options) -> tuple[Classifier, Origin]:
    """The network of a run that reads pictures, with its backbone's weights loaded. options: of the head, from the data."""
    backbone, pretrained = create_backbone(run.backbone, run.weights, run.resolution)
    head = create_head(
        run.head,
        backbone.channels,
        num_classes,
        map_size(run.backbone, run.resolution),
        **head_options(run),
        **options,
    )
    return Classifier(backbone, head, run.freeze), pretrained


def freeze(backbone: nn.Module, how: str) -> list[nn.Module]:
    """Freezes parameters of a Backbone and returns the modules that must stay in evaluation mode.

    backbone: all of it. query2label, as its authors' code: ResNets train layer2 to layer4 without batch norms, which are
    constants all over the network, with eps 1e-5; TResNets train all but the stem and layer1, whose statistics go on
    changing; Swin and CvT train everything. Raises InputError for other backbones, of which that code has none.
    """
    if how == "backbone":
        return [backbone.requires_grad_(False)]
    if how == "none" or isinstance(backbone.net, CvTW24 | SwinTransformer):
        return []
    if not isinstance(backbone.net, ResNet | TResNet):
        raise InputError(
            "freeze: query2label is known for ResNet, TResNet, Swin and CvT only; use none or backbone"
        )
    body = getattr(backbone.net, "body", backbone.net)  # TResNet's
    norms = (
        [module for module in body.modules() if isinstance(module, _BatchNorm)]
        if isinstance(body, ResNet)
        else []
    )
    for module in [body.conv1, body.layer1, *norms]:
        module.requires_grad_(False)
    for norm in norms:
        norm.eps = 1e-5
    return norms
