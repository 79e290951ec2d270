"""Every printed number beside ours: reproduced, differs, not run, or not comparable, and why.

A row of a table has a status by its judged metric (results.py); here each of its numbers has one,
also those that no training gives: what a model costs, and how many pictures a data set has.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlrepro.judging import metric_values, record_shortfalls
from mlrepro.metrics.catalogue import is_recorded
from mlrepro.studies.counts import count_tolerance
from mlrepro.studies.kinds import (
    COUNT,
    FILE_SIZE,
    GFLOPS,
    PARAMETERS,
    SAME_GFLOPS,
    SETTING,
    TIME,
    kind_of,
)
from mlrepro.studies.reported import ReportedRow, rounding, same_number
from mlrepro.studies.results import Result, StudyResults, metric_tolerance, record_metric

Verdict = Literal["reproduced", "differs", "incomplete", "not run", "not comparable"]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "differs",
    "incomplete",
    "not run",
    "not comparable",
)

# In place of a command.
NO_PIPELINE = "no pipeline of ours has this run"

# Why a number of these kinds, or under these names, is none that ours could be compared with.
INCOMPARABLE_KINDS = {
    TIME: "a time on a machine that is not described",
    SETTING: "a setting, not a result",
}
INCOMPARABLE_METRICS = {
    "best_epoch": "an epoch of a training whose weights alone were released",
    "mAP_paper": "another document's number, quoted",
    "f1_change": "a difference of two numbers that are judged themselves",
}


@dataclass(frozen=True)
class Number:
    """One printed number and what we have beside it, both in the printed unit.

    reason:   why it is not comparable; else how ours came about, where that needs saying.
    measured: none where nothing is.
    """

    cell: ReportedRow
    kind: str
    verdict: Verdict
    reason: str = ""
    measured: float | None = None

    @property
    def difference(self) -> float | None:
        """Ours minus what is printed."""
        return None if self.measured is None else self.measured - self.cell.number


def numbers_of(results: StudyResults) -> list[Number]:
    """All printed numbers of a study, in the order of reported.csv."""
    by_cell = {}
    for result in results.all:
        for cell in result.cells.values():
            by_cell[cell.cell] = _judge(results, result, cell)
    return [by_cell[cell.cell] for cell in results.study.rows if cell.cell in by_cell]


def counted(numbers: Sequence[Number]) -> Counter:
    """How many have each verdict."""
    return Counter(number.verdict for number in numbers)


# ---- One number ---------------------------------------------------------------------------------


def _judge(results: StudyResults, result: Result, cell: ReportedRow) -> Number:
    kind = kind_of(cell.metric)
    reason = INCOMPARABLE_METRICS.get(cell.metric) or INCOMPARABLE_KINDS.get(kind)
    if reason:
        return Number(cell, kind, "not comparable", reason)

    if cell.convention == "unknown":
        reason = "what was counted is not said, and no convention that we know gives it"
        return Number(cell, kind, "not comparable", reason)

    if kind == COUNT:
        return _judge_count(results, cell)
    if not cell.run:
        return Number(cell, kind, "not comparable", cell.note)
    if kind == GFLOPS:
        return _judge_gflops(results, cell)
    if kind == PARAMETERS:
        return _judge_parameters(results, cell)
    if kind == FILE_SIZE:
        return _judge_file_size(results, cell)
    return _judge_metric(results, result, cell, kind)


def _verdict(measured: float, cell: ReportedRow, tolerance: float) -> Verdict:
    return "reproduced" if same_number(measured, cell, tolerance) else "differs"


# ---- What needs no training ---------------------------------------------------------------------


def _judge_count(results: StudyResults, cell: ReportedRow) -> Number:
    """Of label files: exact, and ratios as far as they are printed."""
    if cell.run:
        return Number(cell, COUNT, "not comparable", "how many pictures its run uses: a setting")

    counts = results.counts.get(cell.data_set)
    by_settings = counts.by_settings.get(cell.metric) if counts else None
    if by_settings:
        return Number(cell, COUNT, "not comparable", by_settings)

    measured = counts.printed(cell.metric) if counts else None
    if measured is None:
        command = f"python stages/counts.py {results.folder.as_posix()} {cell.data_set}"
        return Number(cell, COUNT, "not run", command)

    verdict = _verdict(measured, cell, count_tolerance(cell))
    return Number(cell, COUNT, verdict, counts.source, measured)


def _judge_gflops(results: StudyResults, cell: ReportedRow) -> Number:
    """Counted by the tool that the document printed them with."""
    measured = results.gflops_as_printed(cell.run)
    if measured is None:
        return Number(cell, GFLOPS, "not run", _complexity_command(results))
    tolerance = max(SAME_GFLOPS, rounding(cell.printed))
    return Number(cell, GFLOPS, _verdict(measured, cell, tolerance), "", measured)


def _judge_parameters(results: StudyResults, cell: ReportedRow) -> Number:
    """In millions, or in 2^20 where the document prints those of the plain ImageNet network."""
    plain = results.description.plain_network
    parameters = results.cost(cell.run, "backbone_parameters" if plain else "parameters")
    if parameters is None:
        return Number(cell, PARAMETERS, "not run", _complexity_command(results))

    measured = parameters / (2**20 if plain else 1e6)
    reason = "the plain network, / 2^20" if plain else ""
    verdict = _verdict(measured, cell, rounding(cell.printed))
    return Number(cell, PARAMETERS, verdict, reason, measured)


def _judge_file_size(results: StudyResults, cell: ReportedRow) -> Number:
    """Of the plain network's weights, in the nearer of MB and MiB: documents write MB for both."""
    size = results.cost(cell.run, "backbone_bytes")
    if size is None:
        return Number(cell, FILE_SIZE, "not run", _complexity_command(results))

    in_units = {"MB": size / 1e6, "MiB": size / 2**20}
    unit = min(in_units, key=lambda name: abs(in_units[name] - cell.number))
    verdict = _verdict(in_units[unit], cell, rounding(cell.printed))
    reason = f"in {unit}, the nearer of MB and MiB: which is meant is not printed"
    return Number(cell, FILE_SIZE, verdict, reason, in_units[unit])


def _complexity_command(results: StudyResults) -> str:
    return f"dvc repro {results.folder.as_posix()}/dvc.yaml:complexity"


# ---- What a training gives ----------------------------------------------------------------------


def _run_command(results: StudyResults, run: str) -> str:
    stages = results.stages.get(run, [])
    return f"dvc repro {stages[0]}" if stages else NO_PIPELINE


def _judge_metric(results: StudyResults, result: Result, cell: ReportedRow, kind: str) -> Number:
    if not is_recorded(cell.metric):
        return Number(cell, kind, "not comparable", "no record of ours holds this metric")

    records = result.records
    if not records:
        if cell.run in results.failures:
            return Number(cell, kind, "incomplete", "its last launch failed")
        return Number(cell, kind, "not run", _run_command(results, cell.run))

    name, unit = record_metric(cell)
    values = metric_values(records, name)
    if None in values:
        # Where a training gave no number, the metric is there without a value.
        if all(name in record.selected.metrics for record in records):
            return Number(cell, kind, "incomplete", "a training gave no number")
        return Number(cell, kind, "not comparable", f"our records do not hold {name}")

    measured = statistics.fmean(values) * unit
    if len(records) < len(results.seeds) or any(record_shortfalls(record) for record in records):
        return Number(cell, kind, "incomplete", "", measured)

    tolerance = unit * metric_tolerance(cell, records, values, unit)
    return Number(cell, kind, _verdict(measured, cell, tolerance), "", measured)
