"""The whole network: a backbone and a head, or on extracted features the head alone."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlrepro.errors import InputError
from mlrepro.models.backbones import create_backbone, map_size
from mlrepro.models.checkpoints import head_options
from mlrepro.models.heads import create_head
from mlrepro.models.pretrained import Origin
from mlrepro.settings.run import Run

FROZEN_BATCH_NORM_EPS = 1e-5  # of Query2Label's code


class Classifier(nn.Module):
    """Pictures (B, 3, S, S) to logits (B, K): head(backbone(pictures)).

    Takes also a pair of pictures and their captions' vectors (B, D), for a head that joins them.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, freezing: str = "none"):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.constant = freeze(backbone, freezing)

    def train(self, mode: bool = True):
        super().train(mode)
        # Frozen norms would go on changing their statistics in training mode.
        for module in self.constant:
            module.eval()
        return self

    def forward(self, batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        if isinstance(batch, tuple):
            pictures, vectors = batch
            return self.head(self.backbone(pictures), vectors)
        return self.head(self.backbone(batch))


def create_classifier(run: Run, num_classes: int, **options) -> tuple[Classifier, Origin]:
    """The network of a run that reads pictures, with its backbone's weights loaded.

    options: of the head, from the data (a label graph's, captions' width). Raises InputError for
    what cannot be built or loaded.
    """
    backbone, origin = create_backbone(run.backbone, run.weights, run.resolution)
    head = create_head(
        run.head,
        backbone.channels,
        num_classes,
        map_size(run.backbone, run.resolution),
        **head_options(run),
        **options,
    )
    return Classifier(backbone, head, run.freeze), origin


def freeze(backbone: nn.Module, how: str) -> list[nn.Module]:
    """Freezes parameters of a Backbone and returns the modules that must stay in evaluation mode.

    none: nothing. backbone: all of it. query2label: as its authors' code, see below.
    """
    if how == "none":
        return []
    if how == "backbone":
        return [backbone.requires_grad_(False)]
    return _freeze_as_query2label(backbone.net)


def _freeze_as_query2label(net: nn.Module) -> list[nn.Module]:
    """Freezes what Query2Label's code does, by the kind of network.

    ResNets train layer2 to layer4 without batch norms, which are constants all over the network,
    with eps 1e-5. TResNets train all but the stem and layer1, whose statistics go on changing. Swin
    and CvT train everything. Raises InputError for other networks, of which that code has none.
    """
    from timm.models import ResNet, SwinTransformer, TResNet

    from mlrepro.models.cvt import CvTW24

    if isinstance(net, CvTW24 | SwinTransformer):
        return []
    if not isinstance(net, ResNet | TResNet):
        raise InputError(
            "freeze: query2label is known for ResNet, TResNet, Swin and CvT only; "
            "use none or backbone"
        )

    # TResNets keep their layers in a body of their own.
    body = net.body if isinstance(net, TResNet) else net
    for module in (body.conv1, body.layer1):
        module.requires_grad_(False)
    if isinstance(net, TResNet):
        return []

    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.requires_grad_(False)
        norm.eps = FROZEN_BATCH_NORM_EPS
    return norms
