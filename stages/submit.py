"""Writes the labels that a run gives the pictures of the split `unlabelled` (004's course), from its evaluate stage's logits."""

import csv

import numpy as np
from safetensors.numpy import load_file

from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.metrics.thresholds import tune_global_threshold
from mlrepro.records import read_record
from mlrepro.stage import main


def stage(settings: str, run_id: str, seed: str) -> None:
    """ImageID, Labels: those that reach the one threshold at which the validation pictures' micro F1 is highest."""
    layout = read_layout(settings)
    path, out, manifest = (
        layout.record(run_id, int(seed)),
        layout.output(run_id, int(seed)),
        read_manifest(layout.data),
    )
    if not path.is_file() or not (out / "logits.safetensors").is_file():
        raise InputError(
            f"{path}: no such record, or its logits in {out} are missing; run the evaluate stage of {run_id}"
        )
    record, logits = read_record(path), load_file(out / "logits.safetensors")
    val, scores = (logits.get(f"{split}_{record.run.selection}") for split in ("val", "unlabelled"))
    if record.provenance.manifest_sha256 != manifest.digest or scores is None:
        raise InputError(
            f"{out}: its logits are of other data, or of no unlabelled pictures; name their table as `unlabelled` "
            "in the data set's settings, and run the evaluate stage again"
        )
    chosen = scores >= tune_global_threshold(
        val, manifest.label_matrix(manifest.rows("val")[: len(val)])
    )
    names, images = (
        np.array(manifest.classes),
        manifest.frame["image"].iloc[manifest.rows("unlabelled")],
    )
    with (out / "submission.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [
            (image.rpartition("/")[2], " ".join(names[said]))
            for image, said in zip(images, chosen, strict=True)
        ]
        csv.writer(file, lineterminator="\n").writerows([("ImageID", "Labels"), *rows])
    print(
        f"submit {run_id}, seed {seed}: {len(rows)} pictures, {int((~chosen.any(1)).sum())} of them without a label -> "
        f"{out / 'submission.csv'}"
    )


main(stage, "params.yaml", "run", "seed")
