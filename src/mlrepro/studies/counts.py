"""Counts of a data set from its label files alone: how many pictures, classes and labels.

They are what a study prints of its data sets, and take no picture: `stages/counts.py` reads lists
and annotations in their official layout from data/<set>/labels and writes
studies/<study>/counts/<data set>.json.
"""

import hashlib
from pathlib import Path

import numpy as np
from pydantic import Field

from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.settings.base import Strict, load
from mlrepro.settings.data import DataSettings
from mlrepro.settings.pipeline import load_data_settings
from mlrepro.studies.reported import ReportedRow, rounding

DATA = Path("data")
FOLDER = "counts"
LABELS = "labels"

# The splits that a printed training or test set is counted from. Held-out pictures are training
# pictures: nothing is held out before the count.
TRAINING = ("train", "val")
TEST = "test"
LABELLED = (*TRAINING, TEST)

# Printed metric of reported.csv -> number of `Counts`.
PRINTED_COUNTS = ("classes", "images", "train_images", "test_images", "labels_per_image")


class SplitCounts(Strict):
    """One split. positives: labels that are present; without_label: pictures that have none."""

    images: int = Field(ge=1)
    positives: int = Field(ge=0)
    without_label: int = Field(ge=0)


class Counts(Strict):
    """A data set, by split.

    source: the format of data/params.yaml whose rules were followed, or `label matrix`.
    files:  how many label files there were; sha256: of their names and contents.
    """

    data_set: str
    source: str
    classes: int
    splits: dict[str, SplitCounts]
    files: int = Field(ge=1)
    sha256: str

    def images(self, *splits: str) -> int:
        return sum(self.splits[split].images for split in splits if split in self.splits)

    def printed(self, metric: str) -> float | None:
        """The number of a printed metric, none where a split of it was not counted.

        Labels a picture are those of the training pictures: so VOC 2007's 1.58 comes about, which
        are 1.56 over all pictures.
        """
        if metric == "classes":
            return self.classes
        if metric == "images":
            return self.images(*LABELLED)
        if metric == "test_images":
            return self.images(TEST) or None

        images = self.images(*TRAINING)
        if metric == "labels_per_image" and images:
            return self._positives(*TRAINING) / images
        return images or None

    def _positives(self, *splits: str) -> int:
        return sum(self.splits[split].positives for split in splits if split in self.splits)


def count_tolerance(cell: ReportedRow) -> float:
    """Counts are exact, ratios agree as far as they are printed."""
    return rounding(cell.printed) if cell.metric == "labels_per_image" else 0.0


# ---- Reading label files ------------------------------------------------------------------------


def labels_folder(name: str) -> Path:
    """Where a person places the label files of a data set."""
    return DATA / name / LABELS


def count_data_set(name: str, settings: DataSettings, folder: Path) -> Counts:
    """Counts the label files in `folder`, which are in the official layout, without pictures.

    A file <name>.npz with a label matrix (N, K) a split is taken instead where there is one.
    Raises InputError where nothing is there, and for files that are not of this data set.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise InputError(
            f"{folder}: no label files; place those of {name} there in their official layout "
            "(lists, annotations or a label matrix; no pictures are needed)"
        )

    matrices = [path for path in files if path.suffix == ".npz"]
    if matrices:
        source = "label matrix"
        splits, classes = _of_matrix(matrices[0])
        files = matrices[:1]
    else:
        source = settings.format
        splits, classes = _of_listing(settings, folder)

    return Counts(
        data_set=name,
        source=source,
        classes=classes,
        splits=splits,
        files=len(files),
        sha256=_digest(folder, files),
    )


def _digest(folder: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _of_listing(settings: DataSettings, folder: Path) -> tuple[dict[str, SplitCounts], int]:
    from mlrepro.data import formats  # here: pages need no pandas to read counts

    table, classes = formats.read(settings, folder)
    splits = {}
    for split, rows in table.groupby("split", sort=False):
        if split not in LABELLED:
            continue
        labels = rows["labels"].map(len)
        splits[split] = SplitCounts(
            images=len(rows),
            positives=int(labels.sum()),
            without_label=int((labels == 0).sum()),
        )
    return splits, len(classes)


def _of_matrix(path: Path) -> tuple[dict[str, SplitCounts], int]:
    """Of an .npz with a matrix (N, K) of 0 and 1 a split, and <split>_ids (N,) where it has ids."""
    with np.load(path, allow_pickle=False) as arrays:
        matrices = {key: arrays[key] for key in arrays.files if arrays[key].ndim == 2}
        ids = {key: arrays[key] for key in arrays.files if key.endswith("_ids")}

    if "test" not in matrices and "val" in matrices:
        # COCO has no labels of its test pictures: all papers test on val.
        matrices["test"] = matrices.pop("val")
        ids["test_ids"] = ids.pop("val_ids", None)

    widths = {matrix.shape[1] for matrix in matrices.values()}
    if len(widths) != 1 or not set(matrices) <= set(LABELLED):
        raise InputError(
            f"{path}: holds {', '.join(sorted(matrices)) or 'no matrix'}; give one (N, K) matrix "
            f"of 0 and 1 for each of {', '.join(LABELLED)}, all with the same K"
        )

    splits = {}
    for split, matrix in matrices.items():
        _check_matrix(path, split, matrix, ids.get(f"{split}_ids"))
        splits[split] = SplitCounts(
            images=len(matrix),
            positives=int(matrix.sum()),
            without_label=int((matrix.sum(1) == 0).sum()),
        )
    return splits, widths.pop()


def _check_matrix(path: Path, split: str, matrix: np.ndarray, ids: np.ndarray | None) -> None:
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


# ---- The record ---------------------------------------------------------------------------------


def count_study(study: Path, name: str) -> Path:
    """Counts a data set for a study; returns the record's path.

    Raises InputError where the record of another study says otherwise of the same data set.
    """
    settings = load_data_settings(DATA / "params.yaml", name)
    counts = count_data_set(name, _without_pictures(settings), labels_folder(name))

    path = study / FOLDER / f"{name}.json"
    for other in sorted(study.parent.glob(f"*/{FOLDER}/{name}.json")):
        if other != path:
            _check_agreement(counts, load(Counts, other), other)
    path.parent.mkdir(exist_ok=True)
    path.write_text(counts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def _without_pictures(settings: DataSettings) -> DataSettings:
    """For formats that look for pictures, or for rows without labels, while they read the table."""
    changes = {key: None for key in ("unlabelled",) if hasattr(settings, key)}
    return settings.model_copy(update=changes)


def _check_agreement(counts: Counts, other: Counts, path: Path) -> None:
    for split, ours in counts.splits.items():
        theirs = other.splits.get(split)
        if theirs and theirs.images != ours.images:
            raise InputError(
                f"{path}: says {theirs.images} pictures of {split}, the label files in "
                f"{labels_folder(counts.data_set)} say {ours.images}; they are not of one version "
                "of the data set: remove the record, or the files, that are not meant"
            )


def read_counts(study: Path) -> dict[str, Counts]:
    """A study's counts by data set."""
    return {path.stem: load(Counts, path) for path in sorted((study / FOLDER).glob("*.json"))}
