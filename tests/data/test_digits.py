"""The digits data set: reproducible, long-tailed, and without handwriting that two splits share."""

from pathlib import Path

import pytest

from mlrepro.data.download import download
from mlrepro.data.formats import digits
from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.settings.data import DigitsData

ARCHIVE = {
    "name": "digits.csv.gz",
    "urls": ["package://sklearn.datasets/data/digits.csv.gz"],
    "sha256": "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
}
COUNTS = {"train": 300, "val": 40, "test": 60}


def _prepare(folder: Path, **counts):
    settings = DigitsData(format="digits", archives=[ARCHIVE], pictures=counts)
    download(settings, folder)
    return prepare(settings, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("digits") / "digits"


@pytest.fixture(scope="module")
def manifest(folder):
    return _prepare(folder, **COUNTS)


def test_the_same_settings_give_the_same_bytes(folder, manifest, tmp_path):
    again = _prepare(tmp_path / "digits", **COUNTS)
    assert again.digest == manifest.digest
    for name in ("archives.json", "summary.json"):
        assert (folder / name).read_bytes() == (tmp_path / "digits" / name).read_bytes()
    for image in manifest.frame["image"]:
        assert (manifest.root / image).read_bytes() == (again.root / image).read_bytes()


def test_fewer_pictures_are_the_first_of_more(manifest, tmp_path):
    few = _prepare(tmp_path / "digits", train=20, test=10)
    for image in few.frame["image"]:
        assert (few.root / image).read_bytes() == (manifest.root / image).read_bytes()


def test_labels_have_a_long_tail_and_pairs(manifest):
    assert {split: len(manifest.rows(split)) for split in COUNTS} == COUNTS

    matrix = manifest.label_matrix()[manifest.rows("train")]
    frequency = matrix.sum(axis=0)
    assert frequency.max() > 4 * frequency.min()
    assert frequency.min() > 5
    assert set(matrix.sum(axis=1)) == {1, 2, 3, 4, 5}

    # An eight makes a three more likely.
    share_of_threes = frequency[3] / len(matrix)
    together = matrix.T.astype(int) @ matrix
    share_of_threes_with_an_eight = together[8, 3] / frequency[8]
    assert share_of_threes_with_an_eight > 1.3 * share_of_threes


def test_captions_name_some_of_the_labels(manifest):
    frame = manifest.frame
    for labels, captions in zip(frame["labels"], frame["captions"], strict=True):
        words = captions[0].replace(",", "").split()
        named = {digits.CLASSES.index(word) for word in words if word in digits.CLASSES}
        assert named
        assert named <= set(labels)
        assert len(named) < len(labels) or len(labels) == 1


def test_no_handwriting_is_in_two_splits(manifest):
    handwriting = digits._handwriting(manifest.root / digits.SOURCE, seed=0)
    known = [{picture.tobytes() for picture in pictures} for pictures, _ in handwriting.values()]
    assert sum(len(of_split) for of_split in known) == 1797
    assert len(set.union(*known)) == 1797
    for _, values in handwriting.values():
        assert set(values) == set(range(10))


def test_errors_name_the_file_and_the_key(tmp_path):
    with pytest.raises(InputError, match="pictures.val: 0"):
        _prepare(tmp_path / "digits", train=5, val=0, test=5)

    settings = DigitsData(
        format="digits",
        archives=[ARCHIVE | {"urls": ["package://sklaern/digits.csv.gz"]}],
        pictures={"train": 1, "test": 1},
    )
    with pytest.raises(InputError, match="package://sklaern.*mend the address"):
        download(settings, tmp_path / "typo")

    (tmp_path / "digits.csv.gz").write_bytes(b"no table")
    with pytest.raises(InputError, match="digits.csv.gz: not scikit-learn's table"):
        digits.read(settings, tmp_path)
