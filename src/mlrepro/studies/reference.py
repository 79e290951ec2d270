"""A pipeline's reference: what its runs gave once, on a machine that is named, in a reported.csv.

Whoever runs them again is told whether they give the same. It is made by a person, never by a
pipeline (stages/reference.py).
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.judging import (
    Status,
    completeness,
    judge,
    mean,
    mean_and_std,
    metric_values,
    standard_error,
    tolerance,
)
from mlrepro.layout import Layout
from mlrepro.records import Failures, Record, Records, read_failures
from mlrepro.studies.reported import ReportedRow, load_reported
from mlrepro.studies.runs import current_records

TABLE = "reference"
METRIC = "mAP"


# ---- Comparing with it -------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A run beside its reference. In percent, delta and tolerance in points.

    mAPs:      by seed, as they were reproduced; none where the run was not run.
    delta:     none where there is no mAP, and so is tolerance.
    """

    run: str
    reference: ReportedRow
    mAPs: list[float | None]
    delta: float | None
    tolerance: float | None
    status: Status


def read_reference(layout: Layout) -> list[ReportedRow]:
    """The reference mAPs of a pipeline's runs, none where it has no reference.

    A study's reported.csv is what its document prints, which its own page shows.
    """
    if not layout.reported.is_file() or (layout.folder / "study.yaml").exists():
        return []
    return [
        row
        for row in load_reported(layout.reported)
        if row.table == TABLE and row.metric == METRIC and row.run in layout.expected
    ]


def compare(
    reference: Sequence[ReportedRow],
    records: Records,
    expected: dict[str, list[int]],
    failures: Failures,
) -> list[Compared]:
    """A row of the reference each, in the order of `records`, runs without any last.

    expected: the seeds of each run.
    """
    places = {run: place for place, run in enumerate(records)}
    ordered = sorted(reference, key=lambda row: places.get(row.run, len(places)))
    return [
        _compare(row, records.get(row.run, []), len(expected[row.run]), row.run in failures)
        for row in ordered
    ]


def _compare(row: ReportedRow, records: list[Record], seeds: int, failed: bool) -> Compared:
    mAPs = metric_values(records, METRIC)
    reproduced = mean(mAPs)
    delta = None
    points = None
    if reproduced is not None:
        delta = reproduced - row.number
        points = tolerance(mAPs, standard_error(records), row.std)

    status = judge(records, row.number, seeds=seeds, failed=failed, reported_std=row.std)
    return Compared(row.run, row, mAPs, delta, points, status)


def sentence(compared: Sequence[Compared]) -> str:
    """How many runs reproduce their reference, and which do not."""
    others = [row for row in compared if row.status != "reproduced"]
    count = len(compared) - len(others)
    text = f"{count} of {len(compared)} runs reproduce the reference"
    if others:
        listed = ", ".join(f"`{row.run}` ({row.status})" for row in others)
        text += f"; not: {listed}"
    return text


def read_compared(layout: Layout) -> list[Compared]:
    """A pipeline's present records beside its reference."""
    reference = read_reference(layout)
    if not reference:
        return []
    failures = read_failures(layout.results)
    return compare(reference, current_records(layout), layout.expected, failures)


# ---- Making it ---------------------------------------------------------------------------------


def write_reference(layout: Layout, source: str) -> None:
    """Takes the present records of all runs of a pipeline as its reference.

    source: when, where and with which versions they were made. Raises InputError where a run lacks
    records, and for a study, whose reported.csv is what its document prints.
    """
    if (layout.folder / "study.yaml").exists():
        raise InputError(f"{layout.reported}: holds what the study's document prints; it stays")

    records = current_records(layout)
    rows = []
    for run_id, seeds in layout.expected.items():
        group = records.get(run_id, [])
        if completeness(group, seeds) != "complete":
            raise InputError(f"{run_id}: has not all its records; run dvc repro {layout.dvc_file}")
        rows.append(_reference_row(group, layout.name, source))

    write_bytes(layout.reported, _csv_text(rows).encode())
    load_reported(layout.reported)  # that it can be read, before anybody relies on it


def _reference_row(records: list[Record], data_set: str, source: str) -> dict[str, object]:
    run = records[0].run
    mAP, std = mean_and_std(metric_values(records, METRIC))
    printed = f"{mAP:.2f}"
    values = dict.fromkeys(ReportedRow.model_fields, "") | {
        "table": TABLE,
        "row": run.run_id,
        "run": run.run_id,
        "data_set": data_set,
        "backbone": run.backbone,
        "resolution": run.resolution or "",
        "metric": METRIC,
        "printed": printed,
        "number": printed,
        "std": "" if std is None else f"{std:.2f}",
        "source": source,
        "checked": "yes",
    }
    return values


def _csv_text(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ReportedRow.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
