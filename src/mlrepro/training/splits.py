"""A data set with what a training reads of it: rows by split, and labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlrepro.data.manifest import Labels, Manifest, read_manifest
from mlrepro.errors import InputError, first_of
from mlrepro.settings.run import Run

SHOWN = 5  # names of classes in a message


@dataclass
class LabelledData:
    """rows: of the manifest, of train, val and test. labels: the full ones of any rows."""

    manifest: Manifest
    folder: Path
    rows: dict[str, np.ndarray]
    labels: Labels


def read_labelled(data_folder: Path, validation: str = "val") -> LabelledData:
    """Reads a manifest that has validation pictures; raises InputError for one that has none.

    validation: the split that stands for val (see Run.validation).
    """
    manifest = read_manifest(data_folder)
    rows = {
        "train": manifest.rows("train"),
        "val": manifest.rows(validation),
        "test": manifest.rows("test"),
    }
    if not len(rows["val"]):
        raise InputError(
            f"{data_folder}/manifest.parquet: no validation rows; set hold_out in the data set's "
            "settings"
        )
    return LabelledData(manifest, data_folder, rows, Labels(manifest))


def scored_rows(run: Run, rows: np.ndarray) -> np.ndarray:
    """Those of a split's rows that the run's protocol scores.

    Raises InputError where that is none of them.
    """
    scored = rows[: run.scored(len(rows))]
    if len(rows) and not len(scored):
        raise InputError(
            f"{run.run_id}: a split has {len(rows)} pictures, less than a batch, and `protocol: "
            "released` scores whole batches only; lower batch_size "
            f"({run.batch_size}) or use `protocol: corrected`"
        )
    return scored


def check_mean_ap(run: Run, data: LabelledData) -> None:
    """Raises InputError where no weights could have an mAP on validation or test.

    That is known from the labels, before a training that it would be the end of. Under
    `empty_classes: nan` it is so where any class has no positive, under `skip` where none has one.
    """
    if run.empty_classes == "zero":
        return

    classes = data.manifest.classes
    for split in dict.fromkeys([run.validation, "test"]):
        rows = scored_rows(run, data.manifest.rows(split))
        counts = data.manifest.positives(rows)
        empty = [name for name, count in zip(classes, counts, strict=True) if not count]

        most_empty = 0 if run.empty_classes == "nan" else len(classes) - 1
        if len(rows) and len(empty) > most_empty:
            raise InputError(
                f"{data.folder}/manifest.parquet: {split} has no positive picture of "
                f"{first_of(empty, SHOWN)}, so that under `empty_classes: {run.empty_classes}` no "
                f"mAP of {run.run_id} is a number; set another `empty_classes`, or mend the split "
                "or the classes"
            )
