"""Draws a run's surest errors on one class (001's Figures 8 to 11) into outputs/: photos stay out of git and pipelines."""

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.records import read_record
from mlrepro.report.figures import blank_figure
from mlrepro.settings.base import nearest
from mlrepro.stage import main


def stage(settings: str, run_id: str, seed: str, name: str) -> None:
    layout = read_layout(settings)
    record, out = read_record(layout.record(run_id, int(seed))), layout.output(run_id, int(seed))
    manifest, path = read_manifest(layout.data), out / "logits.safetensors"
    if record.provenance.manifest_sha256 != manifest.digest or not path.is_file():
        raise InputError(
            f"{path}: absent, or of other pictures than {layout.data}/manifest.parquet; evaluate the run again"
        )
    if name not in manifest.classes:
        raise InputError(
            f"class {name!r}: {layout.data}/classes.json has none; {nearest(name, manifest.classes)}"
        )
    logits, names, k = (
        load_file(path)[f"test_{record.run.selection}"],
        manifest.classes,
        manifest.classes.index(name),
    )
    rows = manifest.rows("test")[: len(logits)]
    truth, said, scale = (
        manifest.label_matrix(rows),
        logits >= 0,
        getattr(record.run.loss, "scale", 1),
    )
    wrong = np.flatnonzero((said & (truth == 0) | ~said & (truth == 1))[:, k])
    with blank_figure(out / f"misclassified-{name.replace('/', '_')}", 6.0) as figure:
        for place, i in enumerate(wrong[np.argsort(-abs(logits[wrong, k]), kind="stable")][:8], 1):
            axes = figure.add_subplot(2, 4, place)
            axes.imshow(
                Image.open(manifest.root / manifest.frame["image"].iloc[rows[i]]).convert("RGB")
            )
            lines = [
                f"{names[c]}: {1 / (1 + np.exp(-scale * logits[i, c])):.2f}{' (is)' if truth[i, c] == 1 else ''}"
                for c in np.argsort(-logits[i])
                if c == k or truth[i, c] == 1 or said[i, c]
            ]
            axes.text(0, -0.03, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)
            axes.set_axis_off()
        figure.subplots_adjust(
            left=0.02, right=0.98, top=0.99, bottom=0.12, wspace=0.08, hspace=0.35
        )
    print(
        f"gallery: the surest of {len(wrong)} errors on {name} among {len(rows)} test pictures -> {out}"
    )


main(stage, "params.yaml", "run", "seed", "class")
