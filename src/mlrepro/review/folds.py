"""Five parts of the pictures, each with a like share of every label, copies in one of them."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from mlrepro.data.manifest import Manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.files import file_sha256

FOLDS = 5
SEED = 1200  # that of Cole et al.'s splits; any other would do

# Of more labels, pictures are stratified by some.
MOST_LABELS = 300


def stratified_folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The fold of every picture, 0 to 4 (n,), by iterative stratification (Sechidis et al. 2011).

    labels: (n, C), 1 where a label is given. groups: (n,), equal for pictures that must share a
    fold.
    """
    from iterstrat.ml_stratifiers import IterativeStratification  # imports scikit-learn

    # A group is drawn as one picture that has the labels of all of its own.
    _, group_of_picture = np.unique(groups, return_inverse=True)
    given = np.zeros((group_of_picture.max() + 1, labels.shape[1]), bool)
    np.logical_or.at(given, group_of_picture, labels == 1)

    shares = np.full(FOLDS, 1 / FOLDS)
    random = np.random.RandomState(SEED)
    fold_of_group = IterativeStratification(rarest_labels(given, FOLDS), shares, random)
    return np.asarray(fold_of_group)[group_of_picture]


def rarest_labels(given: np.ndarray, least: int) -> np.ndarray:
    """All columns (n, C), or of many labels the rarest that `least` pictures have.

    Frequent ones fall into every part by chance, and time grows with the square of the labels.
    """
    if given.shape[1] <= MOST_LABELS:
        return given

    pictures = given.sum(0)
    rarest_first = np.argsort(pictures, kind="stable")
    enough = rarest_first[pictures[rarest_first] >= least]
    return given[:, np.sort(enough[:MOST_LABELS])]


def copies(manifest: Manifest) -> np.ndarray:
    """A number a picture (n,), the same for files of the same bytes.

    Only files of one size are read, for others cannot be copies.
    """
    rows_by_size = defaultdict(list)
    for row, size in enumerate(manifest.frame["bytes"]):
        rows_by_size[size].append(row)

    images = manifest.frame["image"].array
    groups = np.arange(manifest.pictures)
    for rows in rows_by_size.values():
        if len(rows) > 1:
            _join_equal(groups, rows, lambda row: _digest(manifest, images[row]))
    return groups


def _join_equal(groups: np.ndarray, rows: list[int], digest: Callable[[int], str]) -> None:
    first_with_digest: dict[str, int] = {}
    for row in rows:
        groups[row] = first_with_digest.setdefault(digest(row), row)


def _digest(manifest: Manifest, image: str) -> str:
    """Of a file's bytes. One that is gone since the features were made is like no other."""
    try:
        return file_sha256(picture_file(manifest.root, image))
    except OSError:
        return image
