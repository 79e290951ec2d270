"""Counts of a data set from its label files alone: how many pictures, classes and labels.

They are what a study prints of its data sets, and take no picture: `stages/counts.py` reads lists
and annotations in their official layout from data/<set>/labels and writes
studies/<study>/counts/<data set>.json.
"""

import hashlib
from pathlib import Path

from pydantic import Field, model_validator

from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_bytes
from mlrepro.settings.base import Strict, load, nearest
from mlrepro.settings.data import DataSettings
from mlrepro.settings.pipeline import load_data_settings
from mlrepro.studies.label_files import (
    LABELLED,
    MATRIX,
    LabelFiles,
    given_by_settings,
    read_label_files,
)
from mlrepro.studies.reported import ReportedRow, rounding

DATA = Path("data")
FOLDER = "counts"
LABELS = "labels"

# The splits that a printed training or test set is counted from. Held-out pictures are training
# pictures: nothing is held out before the count.
TRAINING = ("train", "val")
TEST = "test"

# Printed metric of reported.csv -> number of `Counts`.
PRINTED_COUNTS = ("classes", "images", "train_images", "test_images", "labels_per_image")


# Settings that say which labels and pictures count.
RULES = ("difficult", "unannotated", "uncaptioned", "unverified")
RATIO_DIGITS = 4


class SplitCounts(Strict):
    """One split. positives: labels that are present; without_label: pictures that have none.

    The two ratios are of the three counts before them, for whoever reads the record.
    """

    images: int = Field(ge=1)
    positives: int = Field(ge=0)
    without_label: int = Field(ge=0)
    labels_per_image: float
    share_without_label: float

    @model_validator(mode="after")
    def _agree(self) -> "SplitCounts":
        expected = _ratios(self.images, self.positives, self.without_label)
        for key, value in expected.items():
            if getattr(self, key) != value:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, but its counts give {value}; "
                    "count again with stages/counts.py"
                )
        return self


def _ratios(images: int, positives: int, without_label: int) -> dict[str, float]:
    return {
        "labels_per_image": round(positives / images, RATIO_DIGITS),
        "share_without_label": round(without_label / images, RATIO_DIGITS),
    }


class Counts(Strict):
    """A data set, by split.

    source:      the format of data/params.yaml whose rules were followed, or `label matrix`.
    rules:       what the settings say of labels and pictures; whoever made a matrix followed his.
    by_settings: printed metric -> why our settings give it, so that no label file confirms it.
    files:       how many label files there were; sha256: of their names and contents.
    """

    data_set: str
    source: str
    rules: dict[str, str | dict[str, str]]
    classes: int
    splits: dict[str, SplitCounts]
    by_settings: dict[str, str]
    files: int = Field(ge=1)
    sha256: str

    def images(self, *splits: str) -> int:
        return sum(self.splits[split].images for split in splits if split in self.splits)

    def printed(self, metric: str) -> float | None:
        """The number of a printed metric, none where a split of it was not counted.

        None as well where settings give it: compared with a paper, it would confirm itself.
        Labels a picture are those of the training pictures: so VOC 2007's 1.58 comes about, which
        are 1.56 over all pictures.
        """
        if metric in self.by_settings:
            return None
        if metric == "classes":
            return self.classes
        if metric == "images":
            # A matrix may be of some splits alone: their sum is not the data set's.
            is_part = self.source == MATRIX and TEST not in self.splits
            return None if is_part else self.images(*LABELLED)
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


# ---- Counting -----------------------------------------------------------------------------------


def labels_folder(name: str) -> Path:
    """Where a person places the label files of a data set."""
    return DATA / name / LABELS


def count_data_set(name: str, settings: DataSettings, folder: Path) -> Counts:
    """Counts the label files in `folder`, which are in the official layout, without pictures.

    A file <name>.npz with a label matrix (N, K) a split may be there in their place.
    Raises InputError where nothing is there, and for files that are not of this data set.
    """
    files = read_label_files(name, settings, folder)
    return Counts(
        data_set=name,
        source=files.source,
        rules=_rules(settings, files.source),
        classes=files.classes,
        splits=_splits(files),
        by_settings=given_by_settings(settings, files.source),
        files=len(files.paths),
        sha256=_digest(folder, files.paths),
    )


def _splits(files: LabelFiles) -> dict[str, SplitCounts]:
    splits = {}
    for split, labels in files.labels.items():
        counts = {
            "images": len(labels),
            "positives": int(labels.sum()),
            "without_label": int((labels == 0).sum()),
        }
        splits[split] = SplitCounts(**counts, **_ratios(**counts))
    return splits


def _rules(settings: DataSettings, source: str) -> dict[str, str | dict[str, str]]:
    if source == MATRIX:
        return {}
    return {rule: getattr(settings, rule) for rule in RULES if hasattr(settings, rule)}


def _digest(folder: Path, paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


# ---- The record ---------------------------------------------------------------------------------


def count_study(study: Path, name: str) -> Path:
    """Counts a data set for a study; returns the record's path.

    Raises InputError where the record of another study says otherwise of the same data set.
    """
    if not study.is_dir():
        studies = [path.name for path in study.parent.glob("*/")]
        raise InputError(f"{study}: no such study; {nearest(study.name, studies)}")
    settings = load_data_settings(DATA / "params.yaml", name)
    counts = count_data_set(name, settings, labels_folder(name))

    path = study / FOLDER / f"{name}.json"
    for other in sorted(study.parent.glob(f"*/{FOLDER}/{name}.json")):
        if other != path:
            _check_agreement(counts, load(Counts, other), other)
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, (counts.model_dump_json(indent=1) + "\n").encode())
    return path


def _check_agreement(counts: Counts, other: Counts, path: Path) -> None:
    """Two records of one data set say the same of each split that both have counted."""
    if counts.classes != other.classes:
        raise InputError(_disagreement(counts, path, f"{other.classes} classes", counts.classes))

    for split, ours in counts.splits.items():
        theirs = other.splits.get(split)
        if theirs is None:
            continue
        if theirs.images != ours.images:
            what = f"{theirs.images} pictures of {split}"
            raise InputError(_disagreement(counts, path, what, ours.images))
        if theirs.positives != ours.positives:
            what = f"{theirs.positives} labels of {split}"
            raise InputError(_disagreement(counts, path, what, ours.positives))
        if theirs.without_label != ours.without_label:
            what = f"{theirs.without_label} pictures without a label of {split}"
            raise InputError(_disagreement(counts, path, what, ours.without_label))


def _disagreement(counts: Counts, path: Path, theirs: str, ours: int) -> str:
    return (
        f"{path}: says {theirs}, the label files in {labels_folder(counts.data_set)} say {ours}; "
        "they are not of one version of the data set: remove the record, or the files, that are "
        "not meant"
    )


def read_counts(study: Path) -> dict[str, Counts]:
    """A study's counts by data set. Raises InputError for a record under another's name."""
    counts = {}
    for path in sorted((study / FOLDER).glob("*.json")):
        record = load(Counts, path)
        if record.data_set != path.stem:
            raise InputError(
                f"{path}: holds the counts of {record.data_set!r}; rename it, or count "
                f"{path.stem!r} with stages/counts.py"
            )
        counts[path.stem] = record
    return counts
