"""What a run of the labels' names may be chosen by, beside the trained ones."""

from pathlib import Path

from mlrepro.data.manifest import read_manifest
from mlrepro.evaluation.choice import ScoredPart, with_cross_validation
from mlrepro.evaluation.record import Logits
from mlrepro.records import Record
from mlrepro.training.grid.cross_validation import ENOUGH_PICTURES, standardised


def with_choice(record: Record, logits: Logits, data_folder: Path) -> Record:
    """The record, with what stands for cross-validation where training pictures are few.

    Trained runs are then chosen by scores of training pictures that they did not see; these scores
    come from no picture at all.
    """
    manifest = read_manifest(data_folder)
    if len(manifest.rows("train")) >= ENOUGH_PICTURES:
        return record

    selection = record.run.selection
    val_logits = logits[f"val_{selection}"]
    # On the scale that cross-validated scores of trained runs have.
    train_logits = standardised(logits[f"train_{selection}"], val_logits)

    train = ScoredPart(train_logits, manifest.label_matrix(manifest.rows("train")))
    validation = ScoredPart(val_logits, manifest.label_matrix(manifest.rows("val")))
    return with_cross_validation(record, train, validation)
