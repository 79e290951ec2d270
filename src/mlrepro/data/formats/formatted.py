"""The .npy files of Cole et al. 2021: formatted_<part>_images, _labels and perhaps _labels_obs."""

from pathlib import Path

import numpy as np

from mlrepro.data.corruption import observe
from mlrepro.data.formats.catalogue import Format, names_a_training_split
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import fetched_folder, load_array, picture_path, read_text
from mlrepro.errors import InputError
from mlrepro.settings.data import Corruption, FormattedData

REMEDY = "fetch it again, or place the right file by hand"
ABSENT = "place it there by hand, or mend `archives` and `splits`"


def read(settings: FormattedData, root: Path) -> Listing:
    """Rows in the order of the files.

    A row without any label stays: an all-zero row, as in the source (NUS-WIDE: 22.3 %). The
    observed labels are only checked: the corruption draws the same ones, and what differs is
    printed.
    """
    # A label matrix has 100 MB, and a gigabyte of features lies beside it.
    arrays = fetched_folder(settings, root)
    pictures = []
    class_counts = {}  # file -> its number of classes
    for split, part in settings.splits.items():
        image_file = arrays / f"formatted_{part}_images.npy"
        label_file = arrays / f"formatted_{part}_labels.npy"
        images = load_array(image_file, "U", 1, ABSENT)
        labels = _labels(label_file, len(images), valid=(0, 1))
        class_counts[label_file.name] = labels.shape[1]
        _check_observed(arrays / f"formatted_{part}_labels_obs.npy", labels)

        without_label = int((labels.sum(axis=1) == 0).sum())
        if without_label:
            print(
                f"{label_file.name}: {without_label} of {len(labels)} pictures have no label "
                "and stay as rows without positives"
            )
        for image, row in zip(images.tolist(), labels, strict=True):
            pictures.append(
                ListedPicture(
                    image=picture_path(settings.pictures, image, str(image_file)),
                    part=part,
                    split=split,
                    labels=np.flatnonzero(row).tolist(),
                )
            )

    if len(set(class_counts.values())) > 1:
        raise InputError(
            f"{arrays}: the label files differ in their number of classes: {class_counts}; {REMEDY}"
        )
    _, class_count = class_counts.popitem()
    return Listing(pictures, _classes(settings, root, class_count))


def _labels(path: Path, rows: int, valid: tuple[int, ...]) -> np.ndarray:
    """(rows, classes) int8, of the valid values; the files hold float64 or int64."""
    labels = load_array(path, "fiu", 2, ABSENT)
    if len(labels) != rows:
        raise InputError(
            f"{path}: {len(labels)} rows, but the pictures beside it are {rows}; "
            f"all files of a part have one row a picture: {REMEDY}"
        )

    is_valid = np.isin(labels, valid)
    if not is_valid.all():
        row, column = np.argwhere(~is_valid)[0]
        raise InputError(
            f"{path}: row {row}, class {column} is {labels[row, column]}, "
            f"but a label is one of {valid}; {REMEDY}"
        )
    return labels.astype(np.int8)


def _check_observed(path: Path, labels: np.ndarray) -> None:
    """Refuse published observed labels that are wrong; say whether ours will be the same."""
    if not path.is_file():
        return

    observed = _labels(path, len(labels), valid=(-1, 0, 1))
    signs = 2 * labels - 1
    if observed.shape != labels.shape or (observed * signs < 0).any():
        raise InputError(
            f"{path}: contradicts the full labels beside it (shape or signs); {REMEDY}"
        )

    if (observed == observe(labels, Corruption())).all():
        print(f"{path.name}: the same draw as of the default corruption")
    else:
        print(
            f"{path.name}: not the draw as of the default corruption; "
            "the runs train on what the corrupt stage draws, not on this file"
        )


def _classes(settings: FormattedData, root: Path, count: int) -> list[str]:
    """The files hold no names: those of `class_names`, one a line, or the class indices."""
    if not settings.class_names:
        return [str(index) for index in range(count)]

    path = root / settings.class_names
    text = read_text(path, "remove `class_names`, or place the file there")
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line]
    if len(names) != count or len(set(names)) != count:
        raise InputError(
            f"{path}: {len(set(names))} different names in {len(names)} lines, "
            f"the labels have {count} classes; give one name a line, in the order of the classes"
        )
    return names


FORMAT = Format(read=read, is_trained_on=names_a_training_split)
