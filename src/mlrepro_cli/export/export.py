"""`mlrepro export`: from a trained run to its model folder.

The weights are those of the run's `selection`, the thresholds are tuned on validation.
"""

import os
import tempfile
from pathlib import Path

from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.extras import require
from mlrepro.files import write_json
from mlrepro.layout import Layout, read_layout
from mlrepro.settings.base import nearest
from mlrepro.settings.seed import AVERAGE
from mlrepro.studies.runs import read_run
from mlrepro_cli.export.card import write_card
from mlrepro_cli.export.mlflow_format import write_mlflow
from mlrepro_cli.export.model import Model, create_model
from mlrepro_cli.export.onnx_format import write_onnx
from mlrepro_cli.export.safetensors_format import write_weights
from mlrepro_cli.export.trained import read_average, read_trained
from mlrepro_cli.refused import named_where_refused


def export(settings: str, run_id: str, seed: int | str | None, folder: str | None) -> None:
    """Makes the model folder of a run, whole or not at all, and prints its name.

    settings: params.yaml of the pipeline. seed: none: the run's first; AVERAGE: all, as one.

    Raises InputError where ONNX is not installed, where the run is not trained and evaluated as it
    is now, and where the logits of validation pictures are not those that were evaluated, or others
    in ONNX.
    """
    require("export", "mlrepro export")
    layout = read_layout(os.path.relpath(settings))
    _refuse_unknown_run(layout, run_id)
    seeds = layout.expected.get(run_id, layout.pipeline.seeds)
    run = read_run(layout, run_id, seeds[0] if seed in (None, AVERAGE) else seed)
    if seed is None:
        seed = seeds[0]
    manifest = read_manifest(layout.data)
    target = Path(folder or f"models/{run_id}-s{seed}")

    if run.captions:
        raise InputError(
            f"{run_id}: reads captions, too; only runs that read pictures alone can be exported"
        )
    if target.exists():
        raise InputError(f"{target}: is there already; delete it, or name another folder with --to")

    # Whole or not at all: what fails half-way leaves a temporary folder, which is removed.
    if seed == AVERAGE:
        trained = read_average(layout, run_id, seeds, manifest)
    else:
        trained = read_trained(layout, run, seed, manifest)
    model = create_model(trained)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        named_where_refused(target),
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work,
    ):
        written = _write(model, Path(work))
        write_card(trained, model.config, written)
        written.rename(target)
    print(target)


def _refuse_unknown_run(layout: Layout, run_id: str) -> None:
    """Raises InputError for a run that is neither asked for nor described, as a mistyped one."""
    if run_id not in layout.expected and not layout.run_file(run_id).is_file():
        raise InputError(
            f"{run_id}: no run of {layout.settings}; {nearest(run_id, sorted(layout.expected))}"
        )


def _write(model: Model, work: Path) -> Path:
    """Writes a model folder into the folder `work`, and returns it."""
    folder = work / "model"
    folder.mkdir()
    write_weights(model, folder)
    write_json(folder / "config.json", model.config)

    # MLflow copies the folder; without model.onnx, which is not needed to serve it.
    write_mlflow(folder, work / "mlflow")
    write_onnx(model, folder)
    write_json(folder / "config.json", model.config)
    (work / "mlflow").rename(folder / "mlflow")
    return folder
