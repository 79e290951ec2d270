"""Own data: scores from the labels' names, of embeddings that are extracted; nothing is trained.

Where open_clip is not installed or its model cannot be had, it says so, and the page shows the row
as not run.
"""

import json
import shutil
from pathlib import Path

from mlrepro.files import write_json
from mlrepro.layout import Layout, read_layout
from mlrepro.records import put_back_record
from mlrepro.settings.run import Run
from mlrepro.stage import main

# In the folder of a run, and in that of all.
MADE_FROM = "made-from.json"
ROWS = "rows.json"


def stage(settings: str) -> None:
    layout = read_layout(settings)
    layout.zero_shot_outputs.mkdir(parents=True, exist_ok=True)
    _remove_others(layout)

    runs = layout.pipeline.zero_shot_runs()
    rows = {}
    for run_id, [seed] in layout.zero_shot.items():
        rows[run_id] = _make(layout, runs[run_id], seed)
    # DVC warns of a folder without a file.
    write_json(layout.zero_shot_outputs / ROWS, rows)


def _remove_others(layout: Layout) -> None:
    """Outputs of runs that the settings no longer name."""
    # Nothing is drawn, so that a run has one seed.
    named = {f"{run_id}-s{seed}" for run_id, [seed] in layout.zero_shot.items()}
    for folder in layout.zero_shot_outputs.iterdir():
        if folder.is_dir() and folder.name not in named:
            shutil.rmtree(folder)


def _make(layout: Layout, run: Run, seed: int) -> bool:
    """Scores a run, unless that is done. False where its model cannot be had, which is printed."""
    note = layout.output(run.run_id, seed) / MADE_FROM
    made_from = _made_from(layout, run)
    if _is_made(layout, run.run_id, seed, made_from):
        print(f"{run.run_id}: as before")
        return True

    from mlrepro.models.image_text import NotHere  # here: it imports torch

    # What was scored once stays until it is scored anew.
    note.unlink(missing_ok=True)
    try:
        _score(layout, run, seed)
    except NotHere as error:
        print(f"{run.run_id} is not run: {error}")
        return False
    write_json(note, made_from)
    return True


def _made_from(layout: Layout, run: Run) -> dict:
    """What the scores follow from."""
    # Here: a pipeline without such rows need not wait for torch.
    from mlrepro.data.features import features_path, read_header
    from mlrepro.data.manifest import manifest_digest

    path = features_path(layout.data, run.backbone, run.resolution)
    return {
        "settings": run.digest,
        "manifest": manifest_digest(layout.data),
        "features": read_header(path),
        "code": json.loads((layout.code / "zero_shot.json").read_text(encoding="utf-8")),
    }


def _is_made(layout: Layout, run_id: str, seed: int, made_from: dict) -> bool:
    """Whether all is there as it would be made; a record that was removed is put back."""
    note = layout.output(run_id, seed) / MADE_FROM
    if not note.is_file():
        return False
    noted = json.loads(note.read_text(encoding="utf-8"))
    if noted != made_from:
        return False

    record = layout.record(run_id, seed)
    put_back_record(record, layout.kept_record(run_id, seed))
    return record.is_file()


def _score(layout: Layout, run: Run, seed: int) -> None:
    from mlrepro.environments import write_environment  # these here: they import torch
    from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
    from mlrepro.evaluation.score import write_logits
    from mlrepro.evaluation.zero_shot import with_choice
    from mlrepro.records import keep_record, write_record
    from mlrepro.tracking import open_tracker
    from mlrepro.training.zero_shot import write_zero_shot

    out = layout.output(run.run_id, seed)
    trained = layout.trained(run.run_id, seed)
    made_on = write_zero_shot(run, layout.data, trained)

    plan = EvaluationPlan.of(layout)
    record, logits = evaluate_run(run, seed, layout.data, trained, plan, made_on)
    record = with_choice(record, logits, layout.data)
    write_logits(logits, out / "logits.safetensors")

    path: Path = layout.record(run.run_id, seed)
    write_record(record, path)
    keep_record(path, layout.kept_record(run.run_id, seed))
    write_environment(record.environment, layout.environment(run.run_id, seed), path)

    tracker = open_tracker(layout, run, seed, "zero_shot")
    tracker.start(session=None)
    tracker.record(record, path)
    print(f"{run.run_id}: test mAP {record.selected.metrics['mAP']:.2f}, from the names alone")


main(stage, "params.yaml")
