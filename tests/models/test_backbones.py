"""Backbones: sizes, channels and normalisation of their maps, weights of torchvision, errors."""

import pytest
import timm
import torch
import torchvision
from torch.nn.functional import normalize

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


def test_a_network_that_gives_no_map(monkeypatch):
    """timm's EfficientViM ends with several: its outputs are a list, which has no `ndim`."""

    def gives_a_list(self, pictures):
        return [pictures].ndim

    monkeypatch.setattr(Backbone, "_maps", gives_a_list)
    with pytest.raises(InputError, match="gives no map of features .* take another backbone"):
        create_backbone("small_cnn", "none", 96)


def test_no_weights_where_nobody_has_them():
    with pytest.raises(InputError, match="torchvision"):
        create_backbone("alexnet", "timm", 64)


# ---- timm's weights ----------------------------------------------------------------------------


def hub_gives(monkeypatch, state: dict) -> None:
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: state)


def test_timms_weights_are_brought_into_the_form_of_the_network(monkeypatch):
    """Of an image tower, whose last layer a map does without, at its own size and another."""
    name = "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    hub_gives(monkeypatch, whole.state_dict())
    ours = name.replace(".", "__")
    pictures = torch.randn(1, 3, 224, 224)

    backbone, (source, sha256) = create_backbone(ours, "timm", 224)
    assert source == f"timm timm/{name}"
    assert len(sha256) == 64
    embedding, _ = create_backbone(f"{ours}_embedding", "timm", 224)
    assert embedding.channels == whole.num_classes == 512
    with torch.inference_mode():
        tokens = whole.forward_features(pictures)[:, 1:]
        torch.testing.assert_close(backbone.eval()(pictures).flatten(2).mT, tokens)
        expected = normalize(whole(pictures)) * 512**0.5
        torch.testing.assert_close(embedding.eval()(pictures)[:, :, 0, 0], expected)

    smaller, _ = create_backbone(ours, "timm", 160)
    assert smaller.net.pos_embed.shape[1] == 101
    assert not smaller.net.pos_embed.isnan().any()


def test_what_is_normalised_after_pooling_is_before_it_on_a_map(monkeypatch):
    name = "eva02_tiny_patch14_224.mim_in22k"
    whole = timm.create_model(name)
    torch.nn.init.normal_(whole.fc_norm.weight)
    hub_gives(monkeypatch, whole.state_dict())
    backbone, _ = create_backbone(name.replace(".", "__"), "timm", 224)
    assert torch.equal(backbone.net.norm.weight, whole.fc_norm.weight)


def test_weights_that_a_hub_does_not_give_or_that_do_not_fit(monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", no_network)
    message = "could not be fetched from timm's hub .OSError: no network.; download the file"
    with pytest.raises(InputError, match=message):
        create_backbone("test_vit__r160_in1k", "timm", 160)

    # Tensors that timm cannot bring into the form of this network.
    whole = timm.create_model("test_vit.r160_in1k")
    state = whole.state_dict() | {"cls_token": torch.zeros(1, 1, 32)}
    hub_gives(monkeypatch, state)
    with pytest.raises(InputError, match="do not fit pictures of 128 px; give `resolution: 160`"):
        create_backbone("test_vit__r160_in1k", "timm", 128)
