"""A data set with what a training reads of it: rows by split, and labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlrepro.data.manifest import Labels, Manifest, read_manifest
from mlrepro.errors import InputError
from mlrepro.settings.run import Run


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
