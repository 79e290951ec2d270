"""Draws a run's surest errors on one class into outputs/: photos stay out of git and pipelines."""

from safetensors.numpy import load_file

from mlrepro.data.manifest import read_manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.records import read_record
from mlrepro.report.figures import blank_figure
from mlrepro.report.gallery import Predictions, draw_errors
from mlrepro.settings.base import nearest
from mlrepro.stage import main


def stage(settings: str, run_id: str, seed: str, class_name: str) -> None:
    layout = read_layout(settings)
    record = read_record(layout.record(run_id, int(seed)))
    manifest = read_manifest(layout.data)
    out = layout.output(run_id, int(seed))

    path = out / "logits.safetensors"
    if record.provenance.manifest_sha256 != manifest.digest or not path.is_file():
        raise InputError(
            f"{path}: absent, or of other pictures than {layout.data}/manifest.parquet; "
            "evaluate the run again"
        )
    if class_name not in manifest.classes:
        raise InputError(
            f"class {class_name!r}: {layout.data}/classes.json has none; "
            f"{nearest(class_name, manifest.classes)}"
        )

    logits = load_file(path)[f"test_{record.run.selection}"]
    rows = manifest.rows("test")[: len(logits)]  # the released protocol leaves the last ones out
    names = manifest.frame["image"].iloc[rows]
    predictions = Predictions(
        pictures=[picture_file(manifest.root, name) for name in names],
        appearance=manifest.appearance,
        classes=manifest.classes,
        logits=logits,
        truth=manifest.label_matrix(rows),
        logit_scale=getattr(record.run.loss, "scale", 1),
    )

    k = manifest.classes.index(class_name)
    errors = predictions.surest_errors(k)
    file_name = class_name.replace("/", "_")  # a name may hold what would be a folder
    with blank_figure(out / f"misclassified-{file_name}", 6.0) as figure:
        draw_errors(figure, predictions, errors, k)
    print(
        f"gallery: the surest of {len(errors)} errors on {class_name} "
        f"among {len(rows)} test pictures -> {out}"
    )


main(stage, "params.yaml", "run", "seed", "class")
