"""Backbones: sizes, channels and normalisation of their maps, weights of torchvision, errors."""

import pytest
import torch
import torchvision

from mlrepro.errors import InputError
from mlrepro.models.backbones import Backbone, create_backbone, map_size

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


MAPS_AND_NORMALISATION = [
    ("cvt_w24", 384, 1024, 24, IMAGENET),
    ("small_cnn", 80, 256, 5, IMAGENET),
    ("small_cnn_narrow", 80, 128, 5, IMAGENET),
    ("alexnet", 256, 4096, 1, IMAGENET),
    ("googlenet", 256, 1024, 8, IMAGENET),
    ("tresnet_l", 448, 2432, 14, PLAIN),
    ("tf_efficientnetv2_s_in21k", 448, 1280, 14, HALF),
    ("swin_large_patch4_window12_384", 384, 1536, 12, IMAGENET),
    # Its position table is made for the run's resolution.
    ("deit_small_patch16_224", 448, 384, 28, IMAGENET),
    ("densenet161", 224, 2208, 7, IMAGENET),
    ("test_vit", 224, 64, 14, HALF),
]


@pytest.mark.parametrize("name, resolution, channels, size, normalisation", MAPS_AND_NORMALISATION)
def test_maps_and_normalisation(name, resolution, channels, size, normalisation):
    assert map_size(name, resolution) == (size, size)
    with torch.device("meta"):
        backbone = Backbone(name, resolution)
    assert backbone.channels == channels
    assert (backbone.mean, backbone.std) == normalisation


def test_googlenet_is_torchvisions_without_its_classifier(tmp_path):
    """Its weights file loads, auxiliary heads left aside; the input is transformed as there."""
    torch.manual_seed(0)
    whole = torchvision.models.googlenet(transform_input=True, init_weights=False).eval()
    path = tmp_path / "googlenet.pth"
    torch.save(whole.state_dict(), path)

    backbone, pretrained = create_backbone("googlenet", str(path), 64)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits = whole.fc(backbone.eval()(pictures).mean((2, 3)))
        torch.testing.assert_close(logits, whole(pictures))
    assert pretrained[0] == "googlenet.pth"


def test_alexnet_keeps_its_hidden_layers():
    torch.manual_seed(0)
    whole = torchvision.models.alexnet().eval()
    backbone = Backbone("alexnet", 128).eval()
    loaded = backbone.net.load_state_dict(whole.state_dict(), strict=False)
    assert loaded.missing_keys == []
    assert loaded.unexpected_keys == ["classifier.6.weight", "classifier.6.bias"]

    pictures = torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        logits = whole.classifier[6](backbone(pictures).flatten(1))
        torch.testing.assert_close(logits, whole(pictures))


@pytest.mark.parametrize(
    "name, resolution, remedy",
    [
        ("resnet_101", 224, "did you mean 'resnet101'"),
        ("cvt_w42", 384, "did you mean 'cvt_w24'"),
        ("tf_efficientnetv2_s_in12k", 384, "did you mean 'tf_efficientnetv2_s_in21k'"),
        ("tresnet_l", 238, "resolution: .* the nearest it takes: 236 or 240"),
        ("alexnet", 32, "the nearest it takes: 64"),
        ("maxvit_tiny_tf_224", 230, "the nearest it takes: 224 or 256"),
    ],
)
def test_errors_offer_what_is_valid(name, resolution, remedy):
    with pytest.raises(InputError, match=remedy):
        create_backbone(name, "none", resolution)


def test_no_weights_where_nobody_has_them():
    with pytest.raises(InputError, match="torchvision"):
        create_backbone("alexnet", "timm", 64)
