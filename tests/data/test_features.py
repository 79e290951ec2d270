"""The features file: its layout, what the header proves, and published features as its source."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import save

from mlrepro.data.features import import_published, open_features, read_features
from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.settings.data import Features

FILES = {
    "train": "train_features_imagenet_resnet50.npy",
    "test": "val_features_imagenet_resnet50.npy",
}
SETTINGS = Features(backbone="resnet50", resolution=448, published=FILES)

# Ten listed pictures: train and test among each other (as in CUB), 3 and 4 held out, 1 and 6
# rejected since.
SPLITS = ["train", "train", "test", "val", "val", "test", "test", "train", "test", "train"]
REJECTED = [
    {"image": "1.jpg", "reason": "missing", "row": 1, "split": "train"},
    {"image": "6.jpg", "reason": "missing", "row": 6, "split": "test"},
]


def manifest_of(rejected: list[dict] = REJECTED) -> Manifest:
    gone = [entry["row"] for entry in rejected]
    splits = [split for row, split in enumerate(SPLITS) if row not in gone]
    frame = pandas.DataFrame({"split": splits})
    return Manifest.of_frame(frame, ["a"], Path(), {"rejected": rejected}, "digest")


# --- the file ------------------------------------------------------------------------------------

HEADER = {"backbone": "test_resnet", "transform": {"resize": [64, 64]}, "manifest": "digest"}
FITTING = {"manifest": manifest_of(), "backbone": "test_resnet", "resolution": 64, "maps": True}


def test_the_file_is_what_safetensors_itself_writes(tmp_path):
    """It is laid out here and filled in place; two openings, as by an interrupted extraction."""
    features = np.random.default_rng(0).standard_normal((8, 3, 2, 2)).astype(np.float32)
    path = tmp_path / "new" / "x.safetensors"
    open_features(path, HEADER, features.shape)[:5] = features[:5]
    open_features(path, HEADER, features.shape, resume=True)[5:] = features[5:]

    tensors = {"features": torch.from_numpy(features)}
    assert path.read_bytes() == save(tensors, {"header": json.dumps(HEADER, sort_keys=True)})

    read, header = read_features(path, **FITTING)
    assert header == HEADER
    assert np.array_equal(read, features)


OF_SOMETHING_ELSE = [
    (
        {"manifest": dataclasses.replace(manifest_of(), digest="other")},
        "manifest 'digest', this run needs 'other'",
    ),
    ({"backbone": "resnet50"}, "backbone 'test_resnet', this run needs 'resnet50'"),
    ({"resolution": 96}, r"resize \[64, 64\], this run needs \[96, 96\]"),
    ({"maps": False}, "dimensions 4, this run needs 2"),
    ({"manifest": manifest_of(rejected=[])}, "rows 8, this run needs 10"),
]


@pytest.mark.parametrize(("arguments", "message"), OF_SOMETHING_ELSE)
def test_features_of_something_else(tmp_path, arguments, message):
    path = tmp_path / "x.safetensors"
    open_features(path, HEADER, (8, 3, 2, 2))
    whole_message = f"x.safetensors: was extracted with {message}; mend `features`.*extract stage"
    with pytest.raises(InputError, match=whole_message):
        read_features(path, **FITTING | arguments)


def test_pooled_features_are_no_maps(tmp_path):
    path = tmp_path / "x.safetensors"
    open_features(path, HEADER, (8, 3))
    with pytest.raises(InputError, match="dimensions 2, this run needs 4"):
        read_features(path, **FITTING)


# --- published features --------------------------------------------------------------------------


@pytest.fixture
def archives(tmp_path) -> Path:
    """Each row holds the number of its picture in the listing."""
    of_train = [row for row, split in enumerate(SPLITS) if split != "test"]
    of_test = [row for row, split in enumerate(SPLITS) if split == "test"]
    for name, numbers in ((FILES["train"], of_train), (FILES["test"], of_test)):
        column = np.array(numbers, np.float64)[:, None]
        np.save(tmp_path / name, column.repeat(4, axis=1))
    return tmp_path


@pytest.mark.parametrize(
    ("rejected", "rows"),
    [
        ([], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (REJECTED, [0, 2, 3, 4, 5, 7, 8, 9]),
    ],
)
def test_published_rows_follow_the_manifest(archives, tmp_path, rejected, rows):
    manifest = manifest_of(rejected)
    path = tmp_path / "features" / "resnet50-448.safetensors"
    import_published(SETTINGS, manifest, archives, path)

    features, header = read_features(path, manifest, "resnet50", 448)
    assert features.shape == (len(rows), 4)
    assert features[:, 2].tolist() == rows
    assert header["weights"] == "published"
    assert header["published"] == {
        name: hashlib.sha256((archives / name).read_bytes()).hexdigest() for name in FILES.values()
    }


def test_rows_of_rejected_pictures_are_not_looked_at(archives, tmp_path):
    rows = np.load(archives / FILES["test"])
    rows[2] = np.inf  # picture 6
    np.save(archives / FILES["test"], rows)

    import_published(SETTINGS, manifest_of(), archives, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="row 2 holds values"):
        import_published(SETTINGS, manifest_of([]), archives, tmp_path / "x.safetensors")


def with_last_row(value: float) -> np.ndarray:
    rows = np.zeros((4, 4))
    rows[3] = value
    return rows


PUBLISHED_THAT_DO_NOT_FIT = [
    (
        "train",
        np.zeros((5, 4)),
        "train_features.*: 5 rows of features, but the data set lists 6 pictures",
    ),
    (
        "test",
        np.zeros((6, 4)),
        "val_features.*: 6 rows of features, but the data set lists 4 pictures",
    ),
    ("test", np.zeros((4, 5)), "val_features.*: 5 channels, but train_features.* has 4"),
    ("test", with_last_row(np.nan), "val_features.*: row 3 holds values"),
    ("test", with_last_row(1e39), "val_features.*: row 3 holds values"),  # above float32
    ("train", np.zeros(6), r"expected 2 dimension\(s\) of numbers"),
    ("train", np.full((6, 4), None), "not a plain .npy array"),
    ("train", None, "no such file; place it there"),
]


@pytest.mark.parametrize(("split", "content", "message"), PUBLISHED_THAT_DO_NOT_FIT)
def test_published_features_that_do_not_fit(archives, tmp_path, split, content, message):
    (archives / FILES[split]).unlink()
    if content is not None:
        np.save(archives / FILES[split], content, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        import_published(SETTINGS, manifest_of(), archives, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "torchvision", "published": FILES}, "give either `weights`"),
        ({}, "give either `weights`"),
        ({"published": FILES, "maps": True}, "published features are pooled"),
    ],
)
def test_features_have_one_source(changes, message):
    with pytest.raises(ValueError, match=message):
        Features(backbone="resnet50", resolution=448, **changes)
