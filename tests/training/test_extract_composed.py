"""Backbones side by side, mirrored, rooted: their features beside those of the whole network."""

import numpy as np
import pytest
import torch

from mlrepro.data.features import features_path, read_features
from mlrepro.data.images import Pictures, normalise
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.models.backbones import Backbone, create_backbone, signed_root
from mlrepro.models.catalogue import parts_of
from mlrepro.settings.data import Features
from mlrepro.training.extract_composed import extract_pooled

CPU = torch.device("cpu")
SIZE = 64


def test_what_a_name_stands_for():
    lites = tuple(f"tf_efficientnet_lite{k}" for k in (0, 1, 2))
    assert parts_of("lites_mirrored") == (lites, True, False)
    assert parts_of("lites_root") == (lites, False, True)
    assert parts_of("lites_mirrored_root") == (lites, True, True)
    assert parts_of("resnet50_mirrored") == (("resnet50",), True, False)
    assert parts_of("resnet50_root").composed
    assert parts_of("resnet50") == (("resnet50",), False, False)
    assert not parts_of("resnet50").composed


def with_the_same_weights(*names: str) -> list[Backbone]:
    """Backbones of one network, which has random weights, ready to compute."""
    backbones = [create_backbone(name, "none", SIZE)[0].eval() for name in names]
    for other in backbones[1:]:
        other.net.load_state_dict(backbones[0].net.state_dict())
    return backbones


def test_the_mean_of_a_picture_and_its_mirror_image_is_symmetric():
    backbone, plain = with_the_same_weights("test_resnet_mirrored", "test_resnet")
    pictures = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        maps = backbone(pictures)
        own, mirrored = plain(pictures), plain(pictures.flip(3))
        turned = backbone(pictures.flip(3))
    torch.testing.assert_close(maps.mean((2, 3)), (own + mirrored).mean((2, 3)) / 2)
    torch.testing.assert_close(turned, maps.flip(3))


def test_roots_keep_the_sign_and_are_not_steep_at_0():
    values = torch.tensor([-4.0, -0.25, 0.0, 0.25, 4.0], requires_grad=True)
    roots = signed_root(values)
    torch.testing.assert_close(
        roots.detach(), torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0]), rtol=0, atol=0.01
    )
    assert roots[2] == 0
    roots.sum().backward()
    assert values.grad.isfinite().all()


def test_a_rooted_backbone_takes_the_roots_of_means():
    backbone, plain = with_the_same_weights("test_resnet_mirrored_root", "test_resnet_mirrored")
    pictures = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        features = backbone(pictures)
        means = plain(pictures).mean((2, 3))
    assert features.shape == (2, plain.channels, 1, 1)
    assert means.min() >= 0
    torch.testing.assert_close(features[:, :, 0, 0], means.sqrt(), rtol=0, atol=0.011)


def test_composed_features_are_those_of_the_whole_network(repository, monkeypatch):
    monkeypatch.chdir(repository)
    data = repository / "data" / "digits"
    manifest = read_manifest(data)
    wanted = [
        Features(backbone=name, weights="package", resolution=SIZE)
        for name in ("tf_efficientnet_lite0", "lites", "lites_mirrored", "lites_root")
    ]
    extract_pooled(wanted, manifest, data, CPU)

    rows = np.arange(4)
    for name, side in (("lites", 2), ("lites_mirrored", 2), ("lites_root", 1)):
        channels = 3840
        features, header = read_features(features_path(data, name, SIZE), manifest, name, SIZE)
        assert features.shape == (manifest.pictures, channels)
        backbone, (source, sha256) = create_backbone(name, "package", SIZE)
        assert header["weights"] == source
        assert header["weights_sha256"] == sha256
        assert header["cost"]["shape"] == [channels, side, side]

        pictures = Pictures(manifest, rows, SIZE, backbone.interpolation)
        batch = torch.stack([torch.as_tensor(pictures[row][0]) for row in rows])
        if batch.shape[1] != 3:
            batch = batch.permute(0, 3, 1, 2)
        with torch.inference_mode():
            maps = backbone.eval()(normalise(batch, backbone.mean, backbone.std))
        torch.testing.assert_close(features[:4], maps.mean((2, 3)), rtol=1e-4, atol=1e-4)

    # Mirror images cost a second pass, and networks side by side the sum of theirs.
    costs = {}
    for name in ("tf_efficientnet_lite0", "lites", "lites_mirrored"):
        _, header = read_features(features_path(data, name, SIZE), manifest, name, SIZE)
        costs[name] = sum(header["cost"]["operations"].values())
    assert (
        costs["lites_mirrored"] > 1.9 * costs["lites"] > 1.9 * 2.5 * costs["tf_efficientnet_lite0"]
    )


def test_names_that_are_none():
    for name in ("resnet51_mirrored", "vit_base_patch16_224__nobody"):
        with pytest.raises(InputError, match="is not known"):
            create_backbone(name, "none", 224)
