"""The files of Cole et al. 2021: formatted_<part>_images.npy and _labels.npy, and where there is one _labels_obs.npy."""

from pathlib import Path

import numpy as np

from mlrepro.data.corruption import observe
from mlrepro.data.formats import Listing, load_array, picture_path, read_text, table
from mlrepro.errors import InputError
from mlrepro.settings.data import Corruption, FormattedData

REMEDY = "fetch it again, or place the right file by hand"
ABSENT = "place it there by hand, or mend `archives` and `splits`"


def read(settings: FormattedData, root: Path) -> Listing:
    """Rows in the order of the files. A row without any label stays: an all-zero row, as in the source (NUS-WIDE: 22.3 %). The
    observed labels are only checked: the corruption draws the same ones, and what differs is printed."""
    # Files that were fetched are read where they lie: a label matrix has 100 MB, the features beside it a gigabyte.
    arrays = root if settings.folder else root.parent / "archives"
    rows, widths = [], {}
    for split, part in settings.splits.items():
        images = load_array(listed := arrays / f"formatted_{part}_images.npy", "U", 1, ABSENT)
        path = arrays / f"formatted_{part}_labels.npy"
        labels = _labels(path, len(images), (0, 1))
        widths[path.name] = labels.shape[1]
        _check_observed(arrays / f"formatted_{part}_labels_obs.npy", labels)
        if empty := int((labels.sum(1) == 0).sum()):
            print(
                f"{path.name}: {empty} of {len(labels)} pictures have no label and stay as rows without positives"
            )
        rows += [
            (
                picture_path(settings.pictures, image, f"{listed}"),
                part,
                split,
                np.flatnonzero(row).tolist(),
                [],
                [],
                [],
            )
            for image, row in zip(images.tolist(), labels, strict=True)
        ]
    if len(set(widths.values())) > 1:
        raise InputError(
            f"{arrays}: the label files differ in their number of classes: {widths}; {REMEDY}"
        )
    return table(rows), _classes(settings, root, widths.popitem()[1])


def _labels(path: Path, rows: int, valid: tuple[int, ...]) -> np.ndarray:
    """(N, C) int8; the files hold float64 or int64."""
    labels = load_array(path, "fiu", 2, ABSENT)
    if len(labels) != rows:
        raise InputError(
            f"{path}: {len(labels)} rows, but the pictures beside it are {rows}; all files of a part have one "
            f"row a picture: {REMEDY}"
        )
    known = np.isin(labels, valid)
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise InputError(
            f"{path}: row {row}, class {column} is {labels[row, column]}, but a label is one of {valid}; {REMEDY}"
        )
    return labels.astype(np.int8)


def _check_observed(path: Path, labels: np.ndarray) -> None:
    if not path.is_file():
        return
    observed = _labels(path, len(labels), (-1, 0, 1))
    if observed.shape != labels.shape or (observed * (2 * labels - 1) < 0).any():
        raise InputError(
            f"{path}: contradicts the full labels beside it (shape or signs); {REMEDY}"
        )
    same = (observed == observe(labels, Corruption())).all()
    print(
        f"{path.name}: {'the same' if same else 'not the'} draw as of the default corruption"
        f"{'' if same else '; the runs train on what the corrupt stage draws, not on this file'}"
    )


def _classes(settings: FormattedData, root: Path, count: int) -> list[str]:
    """The files hold no names: those of `class_names`, one a line, or the class indices."""
    if not settings.class_names:
        return [str(index) for index in range(count)]
    path = root / settings.class_names
    names = [
        line.strip()
        for line in read_text(path, "remove `class_names`, or place the file there").splitlines()
    ]
    names = [name for name in names if name]
    if len(names) != count or len(set(names)) != count:
        raise InputError(
            f"{path}: {len(set(names))} different names in {len(names)} lines, the labels have {count} classes; "
            f"give one name a line, in the order of the classes"
        )
    return names
