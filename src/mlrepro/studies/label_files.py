"""Label files of a data set, read without any picture: how many labels each listed picture has.

They lie in one folder: lists and annotations in their official layout, which the readers of
data/formats read, or one .npz with a label matrix a split. What contradicts itself, the settings
or another file is refused: a count that is wrong looks like any other.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.data import DataSettings

LABELLED = ("train", "val", "test")
MATRIX = "label matrix"

# Of numpy's and zipfile's readers, for files that are damaged or no .npz at all.
DAMAGED = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class LabelFiles:
    """What the label files of a data set say.

    source:  the format of data/params.yaml whose rules were followed, or MATRIX.
    classes: how many the files name.
    labels:  by split, how many labels each picture has, (N,).
    paths:   all label files, sorted.
    """

    source: str
    classes: int
    labels: dict[str, np.ndarray]
    paths: list[Path]


def read_label_files(name: str, settings: DataSettings, folder: Path) -> LabelFiles:
    """The label files in `folder`. Raises InputError for none, and for those of another data set.

    A label matrix stands alone: beside lists, nothing would say which of them is meant.
    """
    paths = _paths(folder)
    if not paths:
        raise InputError(
            f"{folder}: no label files; place those of {name} there in their official layout "
            "(lists, annotations or a label matrix; no pictures are needed)"
        )

    matrices = [path for path in paths if path.suffix == ".npz"]
    if not matrices:
        labels, classes = _of_listing(settings, folder)
        return LabelFiles(settings.format, classes, labels, paths)

    if len(paths) > 1:
        other = next(path for path in paths if path != matrices[0])
        raise InputError(
            f"{folder}: holds the label matrix {matrices[0].name} and other files, such as "
            f"{other.relative_to(folder)}; keep one matrix alone, or lists and annotations alone"
        )
    labels, classes = _of_matrix(settings, matrices[0])
    return LabelFiles(MATRIX, classes, labels, paths)


def given_by_settings(settings: DataSettings, source: str) -> dict[str, str]:
    """Printed metric -> why our settings give it, so that the label files cannot confirm it."""
    reasons = {}

    if settings.format == "mirflickr" and source != MATRIX:
        reason = "its lists name only pictures with a label: how many there are is our setting"
        for metric in ("images", "train_images", "test_images", "labels_per_image"):
            reasons[metric] = reason

    if settings.format == "csv" and settings.split_column is None and source != MATRIX:
        reason = "its table has no splits; `test_fraction` cuts them"
        for metric in ("train_images", "test_images", "labels_per_image"):
            reasons[metric] = reason

    if settings.hold_out and settings.hold_out.split == "test":
        reason = "its lists have no such splits; `hold_out` draws them"
        for metric in ("train_images", "test_images", "labels_per_image"):
            reasons[metric] = reason
    return reasons


def _paths(folder: Path) -> list[Path]:
    """All files but hidden ones, which systems leave in folders that a person has opened."""
    paths = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            paths.append(path)
    return sorted(paths)


# ---- Lists and annotations ----------------------------------------------------------------------


def _of_listing(settings: DataSettings, folder: Path) -> tuple[dict[str, np.ndarray], int]:
    from mlrepro.data import formats  # here: pages need no pandas to read counts

    table, names = formats.read(_for_counting(settings, folder), folder)
    if settings.format == "voc":
        _check_voc_lists(settings, folder, table)
    if settings.format == "mirflickr":
        _check_class_lists(folder / settings.annotations, "_r1.txt", settings.classes)

    labels = {}
    occurring = set()
    for split, rows in table.groupby("split", sort=False):
        if split not in LABELLED:
            continue
        labels[split] = rows["labels"].map(len).to_numpy()
        occurring.update(*rows["labels"])

    # A table's classes may be our list: what the file itself names are the labels in its rows.
    classes = len(occurring) if settings.format == "csv" else len(names)
    return labels, classes


def _for_counting(settings: DataSettings, folder: Path) -> DataSettings:
    """So that formats read what lies in `folder`, not what was fetched, and nothing unlabelled."""
    changes = {"folder": folder}
    if hasattr(settings, "unlabelled"):
        changes["unlabelled"] = None
    return settings.model_copy(update=changes)


def _check_voc_lists(settings: DataSettings, folder: Path, table) -> None:
    """A set's own list has the pictures that its class lists have."""
    lists = folder / settings.root / "ImageSets" / "Main"
    for part, rows in table.groupby("part"):
        _check_class_lists(lists, f"_{part}.txt", settings.classes)

        path = lists / f"{part}.txt"
        if not path.is_file():
            continue
        annotated = {Path(image).stem for image in rows["image"]}
        listed = _first_words(path)
        differing = sorted(annotated ^ listed)
        if differing:
            raise InputError(
                f"{path}: lists {len(listed)} pictures, {settings.classes[0]}_{part}.txt and the "
                f"other class lists {len(annotated)}; {differing[0]} is in one of them alone: "
                "unpack the archive again"
            )


def _first_words(path: Path) -> set[str]:
    from mlrepro.data.formats import read_text

    lines = read_text(path, "unpack the archive again").splitlines()
    return {line.split()[0] for line in lines if line.strip()}


def _check_class_lists(folder: Path, ending: str, classes: list[str]) -> None:
    """There is no list of a class that the settings do not have: it would not be counted."""
    for path in sorted(folder.glob(f"*{ending}")):
        name = path.name.removesuffix(ending)
        if name not in classes:
            raise InputError(
                f"{path}: {name!r} is none of this data set's {len(classes)} classes; remove the "
                f"list, or mend `classes` in data/params.yaml: {nearest(name, classes)}"
            )


# ---- Label matrices -----------------------------------------------------------------------------


def _of_matrix(settings: DataSettings, path: Path) -> tuple[dict[str, np.ndarray], int]:
    """Of an .npz with a matrix (N, K) of 0 and 1 a split.

    It may also hold <split>_ids (N,), and `classes` (K,), the names of the columns.
    """
    arrays = _load(path)
    matrices = {key: array for key, array in arrays.items() if array.ndim == 2}
    ids = {key: array for key, array in arrays.items() if key.endswith("_ids")}

    if settings.format == "coco" and "test" not in matrices and "val" in matrices:
        # COCO has no labels of its test pictures: all papers test on val.
        matrices["test"] = matrices.pop("val")
        if "val_ids" in ids:
            ids["test_ids"] = ids.pop("val_ids")

    widths = {matrix.shape[1] for matrix in matrices.values()}
    if len(widths) != 1 or not set(matrices) <= set(LABELLED):
        raise InputError(
            f"{path}: holds {', '.join(sorted(matrices)) or 'no matrix'}; give one (N, K) matrix "
            f"of 0 and 1 for each of {', '.join(LABELLED)}, all with the same K"
        )
    classes = widths.pop()

    for split, matrix in matrices.items():
        _check_matrix(path, split, matrix, ids.get(f"{split}_ids"))
    _check_splits_apart(path, ids)
    _check_matrix_classes(settings, path, classes, arrays.get("classes"))

    # Wide enough: a sum of 8-bit numbers would be one of 8 bits in some versions of numpy.
    labels = {split: matrix.sum(axis=1, dtype=np.int64) for split, matrix in matrices.items()}
    return labels, classes


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; nothing that would run code (pickle) is loaded."""
    try:
        # A name makes no archive: np.load would also read a single array, which has no `files`.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except DAMAGED as error:
        raise InputError(
            f"{path}: not readable as a label matrix ({error}); copy the file again, or write it "
            "with numpy.savez"
        ) from None


def _check_matrix(path: Path, split: str, matrix: np.ndarray, ids: np.ndarray | None) -> None:
    if not len(matrix):
        raise InputError(f"{path}: {split} has no rows; leave it out, or write one row a picture")
    if not np.isin(matrix, (0, 1)).all():
        raise InputError(f"{path}: {split} holds values other than 0 and 1; write 1 for a label")
    if ids is None:
        return
    if len(ids) != len(matrix):
        raise InputError(
            f"{path}: {split} has {len(matrix)} rows but {len(ids)} ids; write one id a row"
        )
    if len(np.unique(ids)) != len(ids):
        raise InputError(f"{path}: {split}_ids holds an id twice; a picture is one row")


def _check_splits_apart(path: Path, ids: dict[str, np.ndarray]) -> None:
    """No picture is in two splits."""
    split_of = {}
    for key in sorted(ids):
        for identity in ids[key].tolist():
            if identity in split_of:
                raise InputError(
                    f"{path}: {identity} is in {split_of[identity]} and in {key}; "
                    "a picture belongs to one split, and has one id in all of them"
                )
            split_of[identity] = key


def _check_matrix_classes(
    settings: DataSettings, path: Path, count: int, names: np.ndarray | None
) -> None:
    """The columns are the classes of the settings, where these list any."""
    if names is not None and len(names) != count:
        raise InputError(
            f"{path}: `classes` has {len(names)} names, the matrices have {count} columns; "
            "write one name a column"
        )

    expected = getattr(settings, "classes", None)
    if not expected:
        return
    if count != len(expected):
        raise InputError(
            f"{path}: {count} columns, but this data set has {len(expected)} classes "
            f"({expected[0]} to {expected[-1]}); it is of another data set: place its own there"
        )
    unknown = set() if names is None else set(names.tolist()) - set(expected)
    if unknown:
        name = min(unknown)
        raise InputError(
            f"{path}: {name!r} in `classes` is no class of this data set; place its own matrix "
            f"there, or mend the name: {nearest(name, expected)}"
        )
