"""A study's printed rows beside our records of their runs: statuses and costs."""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.judging import (
    NOT_RUN,
    Status,
    judge,
    metric_values,
    standard_error,
    tolerance,
)
from mlrepro.metrics.catalogue import JUDGED, recorded_as
from mlrepro.records import ExternalRecord, Failures, Record, Records, read_failures, read_records
from mlrepro.settings.base import nearest
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.counts import PRINTED_COUNTS, Counts, count_tolerance, read_counts
from mlrepro.studies.description import Description, last_match
from mlrepro.studies.external import ThirdParty, read_third_parties
from mlrepro.studies.kinds import MAP, SMALLEST_DIFFERENCE, kind_of
from mlrepro.studies.reported import ReportedRow, rounding, same_number
from mlrepro.studies.stages import stages_by_run
from mlrepro.studies.study import Study, load_study

Costs = dict[str, dict]  # run id -> its entry in complexity.json


@dataclass(frozen=True)
class Result:
    """One printed row on one data set, and our records of its run.

    cells:  by printed metric.
    metric: the printed metric that is judged, none where no record holds one that it prints.
    status: of that metric; none: the row prints nothing that a record holds.
    third_parties: records of scores that claim to be this row, which are no part of the others.
    """

    cells: dict[str, ReportedRow]
    records: list[Record]
    metric: str | None
    status: Status | None
    third_parties: list[ExternalRecord] = field(default_factory=list)

    @property
    def row(self) -> ReportedRow:
        """What all its cells share: the first of them."""
        return next(iter(self.cells.values()))


@dataclass(frozen=True)
class StudyResults:
    """All that a study's page is made of.

    by_table: by table id, in the order of reported.csv.
    records:  by run id.
    costs:    by run id, empty until the complexity stage has run.
    counts:   by data set, of those whose label files were at hand.
    stages:   by run id the DVC stages that give its records.
    third_parties: scores that others have handed in.
    """

    folder: Path
    study: Study
    by_table: dict[str, list[Result]]
    records: Records
    costs: Costs
    counts: dict[str, Counts]
    stages: dict[str, list[str]]
    seeds: list[int]
    failures: Failures
    third_parties: list[ThirdParty]

    @property
    def description(self) -> Description:
        return self.study.description

    @property
    def all(self) -> list[Result]:
        results = []
        for group in self.by_table.values():
            results += group
        return results

    @property
    def statuses(self) -> Counter:
        return Counter(result.status for result in self.all if result.status)

    def cost(self, run: str, key: str) -> float | None:
        return self.costs.get(run, {}).get(key)

    def gflops_as_printed(self, run: str) -> float | None:
        """GFLOPs as the document's tool counts the network whose GFLOPs it prints for this run.

        None without a known tool.
        """
        network = self.description.gflops_of.get(run, run)
        rule = last_match(self.description.gflops_tool, parse_run_id(network))
        return self.cost(network, rule.tool) if rule else None

    @property
    def gflops_gaps(self) -> list[float]:
        """Counted the document's way minus printed, for every different printed number of a run."""
        printed = set()
        for cell in self.study.rows:
            if cell.metric == "GFLOPs" and cell.run:
                printed.add((cell.run, cell.number))

        gaps = []
        for run, number in sorted(printed):
            counted = self.gflops_as_printed(run)
            if counted is not None:
                gaps.append(counted - number)
        return gaps


# ---- Reading ------------------------------------------------------------------------------------


def read_study(folder: Path) -> StudyResults:
    """A study's numbers, records and costs. Raises InputError where they do not fit together."""
    study = load_study(folder)
    seeds = load_pipeline(folder / "params.yaml").seeds
    records = _read_records(folder / "results", study)
    failures = _read_failures(folder / "results")
    counts = read_counts(folder)
    third_parties = read_third_parties(study, folder)

    by_table = {}
    for table in study.description.tables:
        by_table[table.id] = []
        for cells in _rows_of(study, table.id):
            result = _result(cells, records, failures, len(seeds), counts)
            by_table[table.id].append(_with_third_parties(result, third_parties))

    return StudyResults(
        folder=folder,
        study=study,
        by_table=by_table,
        records=records,
        costs=_read_costs(folder / "complexity.json"),
        counts=counts,
        stages=stages_by_run(folder),
        seeds=seeds,
        failures=failures,
        third_parties=third_parties,
    )


def _rows_of(study: Study, table: str) -> list[dict[str, ReportedRow]]:
    """The cells by metric of every row of a table on every data set."""
    rows: dict[tuple, dict[str, ReportedRow]] = {}
    for cell in study.rows:
        if cell.table == table:
            rows.setdefault(cell.place, {})[cell.metric] = cell
    return list(rows.values())


def _read_records(folder: Path, study: Study) -> Records:
    """Those of all data sets."""
    records: Records = {}
    valid = study.runs
    for data_set in sorted(folder.glob("*")):
        for run, group in read_records(data_set).items():
            if run not in valid:
                raise InputError(
                    f"{data_set}: holds records of {run}, which no row of reported.csv names; "
                    f"{nearest(run, valid)}"
                )
            if run in records:
                raise InputError(
                    f"{data_set}: holds records of {run}, and so does another folder beside it; "
                    "move one away"
                )
            records[run] = group
    return records


def _read_failures(folder: Path) -> Failures:
    failures: Failures = {}
    for data_set in sorted(folder.glob("*")):
        failures |= read_failures(data_set)
    return failures


def _read_costs(path: Path) -> Costs:
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not what stages/complexity.py writes ({error!r}); run that stage again"
        ) from None


# ---- One row ------------------------------------------------------------------------------------


def _result(
    cells: dict[str, ReportedRow],
    records: Records,
    failures: Failures,
    seeds: int,
    counts: dict[str, Counts],
) -> Result:
    """`seeds`: how many each run should have."""
    run = next(iter(cells.values())).run
    metric = _judged_metric(cells)

    # A row of a table of data sets: no run gives it, label files do.
    if metric is None and set(cells) <= set(PRINTED_COUNTS):
        return Result(cells, [], None, _status_of_counts(cells, counts))

    # No run of ours can give the row: there is nothing to judge.
    if not run:
        return Result(cells, [], metric, "not-comparable")
    if metric is None:
        return Result(cells, [], None, None)

    # Judged in percent, whatever the unit that is printed.
    group = records.get(run, [])
    cell = cells[metric]
    name, unit = record_metric(cell)
    values = metric_values(group, name)
    measured = bool(values) and None not in values
    status = judge(
        group,
        cell.number / unit,
        seeds=seeds,
        metric=name,
        failed=run in failures,
        comparable=all(name in record.selected.metrics for record in group),
        allowed=metric_tolerance(cell, group, values, unit) if measured else None,
    )
    return Result(cells, group, metric, status)


def metric_tolerance(
    cell: ReportedRow, records: list[Record], values: list[float], unit: float
) -> float:
    """How far from a printed metric the mean of `values` may be, in percent.

    The largest of half of the last printed digit, SMALLEST_DIFFERENCE, the printed deviation, and
    twice the standard error over seeds, of mAP with that of resampled test pictures.
    """
    kind = kind_of(cell.metric)
    return tolerance(
        values,
        standard_error(records) if kind == MAP else None,
        None if cell.std is None else cell.std / unit,
        minimum=max(SMALLEST_DIFFERENCE[kind], rounding(cell.printed) / unit),
    )


def _with_third_parties(result: Result, third_parties: list[ThirdParty]) -> Result:
    """Those that claim to be this row, on its data set."""
    row = result.row
    claiming = []
    for party in third_parties:
        claim = party.external
        is_this_row = (claim.run, claim.data_set) == (row.run, row.data_set)
        if party.record and claim.run and is_this_row:
            claiming.append(party.record)
    return replace(result, third_parties=claiming)


def _status_of_counts(cells: dict[str, ReportedRow], counts: dict[str, Counts]) -> Status:
    """Reproduced where all its numbers are; else whether the first that differs is larger.

    Numbers that our settings give do not count.
    """
    status = "not-comparable"
    for metric, cell in cells.items():
        of_data_set = counts.get(cell.data_set)
        if of_data_set and metric in of_data_set.by_settings:
            continue

        measured = of_data_set.printed(metric) if of_data_set else None
        if measured is None:
            return NOT_RUN
        if not same_number(measured, cell, count_tolerance(cell)):
            return "exceeds" if measured > cell.number else "below"
        status = "reproduced"
    return status


def _judged_metric(cells: dict[str, ReportedRow]) -> str | None:
    """The printed metric that gives a row its status."""
    for metric in JUDGED:
        if metric in cells:
            return metric
    return None


def record_metric(cell: ReportedRow) -> tuple[str, float]:
    """The metric's name in a record, and how much of the printed unit one percent is."""
    return recorded_as(cell.metric, cell.convention)
