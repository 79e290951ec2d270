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
# Ten listed pictures: train and test among each other (as in CUB), 3 and 4 held out, 1 and 6 rejected since.
SPLITS = ["train", "train", "test", "val", "val", "test", "test", "train", "test", "train"]
REJECTED = [
    {"image": f"{row}.jpg", "reason": "missing", "row": row, "split": SPLITS[row]} for row in (1, 6)
]


def _manifest(rejected=REJECTED):
    gone = [entry["row"] for entry in rejected]
    splits = [split for row, split in enumerate(SPLITS) if row not in gone]
    return Manifest(
        pandas.DataFrame({"split": splits}), ["a"], Path(), {"rejected": rejected}, "digest"
    )


@pytest.fixture
def archives(tmp_path):
    """Each row holds the number of its picture in the listing."""
    for name, is_test in ((FILES["train"], False), (FILES["test"], True)):
        numbers = [row for row, split in enumerate(SPLITS) if (split == "test") == is_test]
        np.save(tmp_path / name, np.repeat(np.array(numbers, np.float64)[:, None], 4, axis=1))
    return tmp_path


@pytest.mark.parametrize(
    ("rejected", "rows"), [([], list(range(10))), (REJECTED, [0, 2, 3, 4, 5, 7, 8, 9])]
)
def test_published_rows_follow_the_manifest(archives, tmp_path, rejected, rows):
    path = tmp_path / "features" / "resnet50-448.safetensors"
    import_published(SETTINGS, _manifest(rejected), archives, path)
    features, header = read_features(path, _manifest(rejected), "resnet50", 448)
    assert features.shape == (len(rows), 4) and features[:, 2].tolist() == rows
    assert header["weights"] == "published"
    assert header["published"] == {
        name: hashlib.sha256((archives / name).read_bytes()).hexdigest() for name in FILES.values()
    }


HEADER = {"backbone": "test_resnet", "transform": {"resize": [64, 64]}, "manifest": "digest"}


def test_the_file_is_what_safetensors_itself_writes(tmp_path):
    """The file is laid out here and filled in place; two openings, as by an interrupted extraction."""
    features = np.random.default_rng(0).standard_normal((8, 3, 2, 2)).astype(np.float32)
    path = tmp_path / "new" / "x.safetensors"
    open_features(path, HEADER, features.shape)[:5] = features[:5]
    open_features(path, HEADER, features.shape, resume=True)[5:] = features[5:]
    assert path.read_bytes() == save(
        {"features": torch.from_numpy(features)}, {"header": json.dumps(HEADER, sort_keys=True)}
    )
    found, header = read_features(path, _manifest(), "test_resnet", 64, maps=True)
    assert header == HEADER and np.array_equal(found, features)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"manifest": dataclasses.replace(_manifest(), digest="other")},
            "manifest 'digest', this run needs 'other'",
        ),
        ({"backbone": "resnet50"}, "backbone 'test_resnet', this run needs 'resnet50'"),
        ({"resolution": 96}, r"resize \[64, 64\], this run needs \[96, 96\]"),
        ({"maps": False}, "dimensions 4, this run needs 2"),
        ({"manifest": _manifest([])}, "rows 8, this run needs 10"),
    ],
)
def test_features_of_something_else(tmp_path, arguments, message):
    path = tmp_path / "x.safetensors"
    open_features(path, HEADER, (8, 3, 2, 2))
    fitting = {"manifest": _manifest(), "backbone": "test_resnet", "resolution": 64, "maps": True}
    with pytest.raises(
        InputError,
        match=f"x.safetensors: was extracted with {message}; mend `features`.*extract stage",
    ):
        read_features(path, **fitting | arguments)
    open_features(path, HEADER, (8, 3))
    with pytest.raises(InputError, match="dimensions 2, this run needs 4"):
        read_features(path, **fitting)


@pytest.mark.parametrize(
    ("split", "content", "message"),
    [
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
        (
            "test",
            np.where(np.arange(4)[:, None] == 3, np.nan, np.zeros((4, 4))),
            "val_features.*: row 3 holds values",
        ),
        (
            "test",
            np.where(np.arange(4)[:, None] == 3, 1e39, np.zeros((4, 4))),
            "val_features.*: row 3 holds values",
        ),
        ("train", np.zeros(6), r"expected 2 dimension\(s\) of numbers"),
        ("train", np.full((6, 4), None), "not a plain .npy array"),
        ("train", None, "no such file; place it there"),
    ],
)
def test_published_features_that_do_not_fit(archives, tmp_path, split, content, message):
    (archives / FILES[split]).unlink()
    if content is not None:
        np.save(archives / FILES[split], content, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        import_published(SETTINGS, _manifest(), archives, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_rows_of_rejected_pictures_are_not_looked_at(archives, tmp_path):
    rows = np.load(archives / FILES["test"])
    rows[2] = np.inf  # picture 6
    np.save(archives / FILES["test"], rows)
    import_published(SETTINGS, _manifest(), archives, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="row 2 holds values"):
        import_published(SETTINGS, _manifest([]), archives, tmp_path / "x.safetensors")


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
