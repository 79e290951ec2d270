"""Resamples for records of older versions, from the logits that their evaluation has kept."""

from pathlib import Path

from safetensors.numpy import load_file

from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.evaluation.measure import none_if_nan
from mlrepro.layout import Layout
from mlrepro.metrics.bootstrap import standard_error
from mlrepro.records import Record, keep_record, write_record
from mlrepro.resamples import as_kept, resampled_maps
from mlrepro.studies.runs import current_records
from mlrepro.training.splits import scored_rows


def add_resamples(layout: Layout) -> tuple[int, int]:
    """How many records of a pipeline have got theirs, and how many lack them still.

    A record becomes what an evaluation of today would write: nothing is trained or scored again.
    Those lack them whose logits are not at hand, or are of other data.
    """
    lacking = []
    for of_run in current_records(layout).values():
        lacking += [record for record in of_run if record.selected.resamples is None]
    if not lacking:
        return 0, 0

    manifest = read_manifest(layout.data)
    added = 0
    for record in lacking:
        place = (record.run.run_id, record.seed)
        logits = layout.output(*place) / "logits.safetensors"
        same_data = record.provenance.manifest_sha256 == manifest.digest
        if not logits.exists() or not same_data:
            continue

        path = layout.record(*place)
        copy = layout.kept_record(*place)
        write_record(with_resamples(record, logits, manifest), path)
        if copy.is_file():
            keep_record(path, copy)
        added += 1
    return added, len(lacking) - added


def with_resamples(record: Record, logits_file: Path, manifest: Manifest) -> Record:
    """The record with standard errors and resamples of these logits."""
    run = record.run
    labels = manifest.label_matrix(scored_rows(run, manifest.rows("test")))
    logits = load_file(logits_file)
    measurements = {}
    for selection, measurement in record.measurements.items():
        maps = resampled_maps(logits[f"test_{selection}"], labels, run.empty_classes)
        changes = {"mAP_se": none_if_nan(standard_error(maps))}
        if selection == run.selection:
            changes["resamples"] = as_kept(maps)
        measurements[selection] = measurement.model_copy(update=changes)
    return record.model_copy(update={"measurements": measurements})
