"""What a run of the labels' names may be chosen by, beside the trained ones."""

from pathlib import Path

from mlrepro.data.manifest import read_manifest
from mlrepro.evaluation.choice import choice_of
from mlrepro.evaluation.record import Logits
from mlrepro.records import Record
from mlrepro.training.grid.cross_validation import ENOUGH_PICTURES


def with_cross_validation(record: Record, logits: Logits, data_folder: Path) -> Record:
    """The record, with what stands for cross-validation where training pictures are few.

    Trained runs are then chosen by scores of training pictures that they did not see; these scores
    come from no picture at all.
    """
    manifest = read_manifest(data_folder)
    rows = manifest.rows("train")
    if len(rows) >= ENOUGH_PICTURES:
        return record

    scores = logits[f"train_{record.run.selection}"]
    choice = choice_of(scores, manifest.label_matrix(rows), record.run.empty_classes)
    return record.model_copy(update={"choices": record.choices | {"cross_validation": choice}})
