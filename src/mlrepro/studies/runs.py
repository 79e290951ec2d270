"""What the runs of a pipeline are: their settings, their records, and what their study prints."""

from pathlib import Path

from mlrepro.data.manifest import manifest_digest
from mlrepro.layout import Layout
from mlrepro.records import Records, put_back_record, read_record, read_records
from mlrepro.settings.run import Run, load_run
from mlrepro.studies.reported import load_reported


def read_run(layout: Layout, run_id: str, seed: int = 0) -> Run:
    """Those of the run's file; of a searched run, whose search chose them, those of its record.

    Of a run that is made of the labels' names, those of the pipeline.
    """
    if run_id in layout.searched:
        return read_record(layout.record(run_id, seed)).run
    if run_id in layout.zero_shot:
        return layout.pipeline.zero_shot_runs()[run_id]
    return load_run(layout.run_file(run_id))


def put_back_searched(layout: Layout) -> None:
    """Records of searched and zero-shot runs that somebody removed, from copies in their folders.

    They are no outputs of DVC, which so would not notice that they are gone.
    """
    for run_id, seeds in (layout.searched | layout.zero_shot).items():
        for seed in seeds:
            put_back_record(layout.record(run_id, seed), layout.kept_record(run_id, seed))


def current_records(layout: Layout) -> Records:
    """The pipeline's records by run id.

    Those whose run file has changed since are named and left out, and so are those of own data that
    were others then.
    """
    records = read_records(layout.results)
    if layout.own_data:
        records = _of_present_data(records, layout.data)
    for run_id in set(records) & {*layout.pipeline.runs, *layout.zero_shot}:
        present = read_run(layout, run_id).digest
        current = [record for record in records[run_id] if record.run.digest == present]
        if len(current) < len(records[run_id]):
            print(
                f"{run_id}: its settings have changed since its records were made; they are left "
                "out until it is run again"
            )
        records[run_id] = current
    return {run_id: group for run_id, group in records.items() if group}


def _of_present_data(records: Records, data: Path) -> Records:
    """Records of the data set as it is prepared now; all, where it is not."""
    digest = manifest_digest(data)
    if digest is None:
        return records

    present = {}
    for run_id, group in records.items():
        present[run_id] = [
            record for record in group if record.provenance.manifest_sha256 == digest
        ]
        if len(present[run_id]) < len(group):
            print(
                f"{run_id}: its records are of other pictures or labels than {data} has now; they "
                "are left out until it is run again"
            )
    return present


def reported_map(layout: Layout, run_id: str) -> float | None:
    """The mAP that the study prints for a run, where it prints one number."""
    path = layout.folder / "reported.csv"
    if not path.is_file():
        return None
    rows = [row for row in load_reported(path) if row.run == run_id and row.metric == "mAP"]
    numbers = {row.number for row in rows}
    return numbers.pop() if len(numbers) == 1 else None
