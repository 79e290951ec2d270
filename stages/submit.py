"""Writes the labels that a run gives the unlabelled pictures, from its evaluate stage's logits.

The file is what the course of the captions study asked its students for.
"""

import csv
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.metrics.thresholds import tune_global_threshold
from mlrepro.records import read_record
from mlrepro.stage import main

HEADER = ("ImageID", "Labels")


def stage(settings: str, run_id: str, seed: str) -> None:
    """Labels that reach the threshold at which the validation pictures' micro F1 is highest."""
    layout = read_layout(settings)
    manifest = read_manifest(layout.data)
    record_file = layout.record(run_id, int(seed))
    out = layout.output(run_id, int(seed))
    logits_file = out / "logits.safetensors"
    if not record_file.is_file() or not logits_file.is_file():
        raise InputError(
            f"{record_file}: no such record, or its logits in {out} are missing; "
            f"run the evaluate stage of {run_id}"
        )

    record = read_record(record_file)
    logits = load_file(logits_file)
    val = logits.get(f"val_{record.run.selection}")
    unlabelled = logits.get(f"unlabelled_{record.run.selection}")
    if record.provenance.manifest_sha256 != manifest.digest or unlabelled is None:
        raise InputError(
            f"{out}: its logits are of other data, or of no unlabelled pictures; "
            "name their table as `unlabelled` in the data set's settings, "
            "and run the evaluate stage again"
        )

    if val is None:
        raise InputError(
            f"{out}: its logits lack those of validation pictures, on which the threshold is "
            "tuned; run the evaluate stage again (a run with `validation: test` has none)"
        )

    # `protocol: released` scores whole batches only: the last pictures may have no logits.
    rows = manifest.rows("val")[: len(val)]
    threshold = tune_global_threshold(val, manifest.label_matrix(rows))
    chosen = unlabelled >= threshold
    path = out / "submission.csv"
    write_submission(path, manifest, chosen)

    without = int((~chosen.any(axis=1)).sum())
    print(
        f"submit {run_id}, seed {seed}: {len(chosen)} pictures, "
        f"{without} of them without a label -> {path}"
    )


def write_submission(path: Path, manifest: Manifest, chosen: np.ndarray) -> None:
    """Write a line an unlabelled picture; chosen (pictures, classes): whether it has the label."""
    names = np.array(manifest.classes)
    images = manifest.frame["image"].iloc[manifest.rows("unlabelled")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for image, labels in zip(images, chosen, strict=True):
            # The course names pictures without their folder.
            _, _, file_name = image.rpartition("/")
            writer.writerow([file_name, " ".join(names[labels])])


main(stage, "params.yaml", "run", "seed")
