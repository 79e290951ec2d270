"""Backbones side by side and mirrored: their features beside those of the whole network."""

import numpy as np
import pytest
import torch

from mlrepro.data.features import features_path, read_features
from mlrepro.data.images import Pictures, normalise
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.models.backbones import create_backbone
from mlrepro.models.catalogue import parts_of
from mlrepro.settings.data import Features
from mlrepro.training.extract_composed import extract_pooled

CPU = torch.device("cpu")
SIZE = 64


def test_what_a_name_stands_for():
    lites = tuple(f"tf_efficientnet_lite{k}" for k in (0, 1, 2))
    assert parts_of("lites_mirrored") == (lites, True)
    assert parts_of("resnet50_mirrored") == (("resnet50",), True)
    assert parts_of("resnet50") == (("resnet50",), False)
    assert not parts_of("resnet50").composed


def test_the_mean_of_a_picture_and_its_mirror_image_is_symmetric():
    backbone, _ = create_backbone("test_resnet_mirrored", "none", SIZE)
    plain, _ = create_backbone("test_resnet", "none", SIZE)
    plain.net.load_state_dict(backbone.net.state_dict())
    pictures = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        maps = backbone.eval()(pictures)
        plain.eval()
        own, mirrored = plain(pictures), plain(pictures.flip(3))
        turned = backbone(pictures.flip(3))
    torch.testing.assert_close(maps.mean((2, 3)), (own + mirrored).mean((2, 3)) / 2)
    torch.testing.assert_close(turned, maps.flip(3))


def test_composed_features_are_those_of_the_whole_network(repository, monkeypatch):
    monkeypatch.chdir(repository)
    data = repository / "data" / "digits"
    manifest = read_manifest(data)
    wanted = [
        Features(backbone=name, weights="package", resolution=SIZE)
        for name in ("tf_efficientnet_lite0", "lites", "lites_mirrored")
    ]
    extract_pooled(wanted, manifest, data, CPU)

    rows = np.arange(4)
    for name, channels in (("lites", 3840), ("lites_mirrored", 3840)):
        features, header = read_features(features_path(data, name, SIZE), manifest, name, SIZE)
        assert features.shape == (manifest.pictures, channels)
        backbone, (source, sha256) = create_backbone(name, "package", SIZE)
        assert header["weights"] == source
        assert header["weights_sha256"] == sha256
        assert header["cost"]["shape"] == [channels, 2, 2]

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
