"""Which parts of a network do not learn."""

from timm.models import ResNet, SwinTransformer, TResNet
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlrepro.errors import InputError
from mlrepro.models.cvt import CvTW24


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
        raise InputError("freeze: query2label is known for ResNet, TResNet, Swin and CvT only; use none or backbone")
    body = getattr(backbone.net, "body", backbone.net)  # TResNet's
    norms = [module for module in body.modules() if isinstance(module, _BatchNorm)] if isinstance(body, ResNet) else []
    for module in [body.conv1, body.layer1, *norms]:
        module.requires_grad_(False)
    for norm in norms:
        norm.eps = 1e-5
    return norms
