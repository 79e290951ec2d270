"""What a reported.csv must hold beside the form of its rows, what it and study.yaml must agree on, and run files with them."""

import csv
import re
from pathlib import Path
from typing import get_args

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.losses import LossSettings
from mlrepro.settings.run import Head
from mlrepro.settings.run_id import RunId, parse_run_id
from mlrepro.studies.reported import ReportedRow, StudyText, Table, load_reported, load_study

HEADS = list(get_args(Head))
LOSSES = [
    name
    for settings in get_args(get_args(LossSettings)[0])
    for name in get_args(settings.model_fields["name"].annotation)
]
DATA_SETS = "voc2007 voc2012 coco2014 coco2017 nuswide vg500 openimages_v6 cub mirflickr25k comp5329 comp5329_1000".split()
NUMBER = re.compile(r"-?\d+(\.\d+)?")
PRINTED = re.compile(r"[~+]?(-?\d+(?:\.\d+)?)(?:±(\d+(?:\.\d+)?))?(?:s|M|MB)?")


def check_reported(path: Path) -> None:
    """Raises InputError that names file, line and remedy."""
    rows = load_reported(path)
    cells, runs, labels = {}, {}, {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        if list(reader.fieldnames) != list(ReportedRow.model_fields):
            raise InputError(
                f"{path}:1: columns must be exactly {','.join(ReportedRow.model_fields)}"
            )
        for row, values in zip(rows, reader, strict=True):
            line = reader.line_num
            try:
                _check_number(values)
                _check_run(row)
                place = row.cell[:-1]  # all its metrics come from one run
                if cells.setdefault(row.cell, line) != line:
                    raise ValueError(
                        f"the cell {row.cell} stands in line {cells[row.cell]} too; delete one of them"
                    )
                if runs.setdefault(place, row.run) != row.run:
                    raise ValueError(
                        f"row {row.row!r} names two runs, {runs[place]!r} and {row.run!r}; keep one"
                    )
                if row.run and labels.setdefault((row.table, row.run), place) != place:
                    raise ValueError(
                        f"run {row.run!r} stands in two rows of table {row.table}, {row.row!r} and "
                        f"{labels[row.table, row.run][1]!r}; give one of them a variant"
                    )
            except ValueError as error:
                raise InputError(f"{path}:{line}: {error}") from None


def _check_number(row: dict[str, str]) -> None:
    for key in ("number", "std"):
        if row[key] and not NUMBER.fullmatch(row[key]):
            raise ValueError(
                f"{key} {row[key]!r} is not a plain decimal number; write digits and a decimal point"
            )
    printed = PRINTED.fullmatch(row["printed"])
    if printed and (float(printed[1]) != float(row["number"]) or (printed[2] or "") != row["std"]):
        raise ValueError(
            f"number {row['number']!r} (std {row['std']!r}) is not what is printed, {row['printed']!r}; "
            "copy it again from the paper"
        )


def _check_run(row: ReportedRow) -> None:
    if not row.run:
        if not row.note:
            raise ValueError(
                "no run and no note; name the run, or say in `note` why no run of ours can give this"
            )
        return
    run = parse_run_id(row.run)
    check_names(row.run, run)
    if run.data != row.data_set:
        raise ValueError(
            f"run id {row.run!r} is of data set {run.data!r}, the row of {row.data_set!r}; mend one"
        )
    if row.resolution not in (None, run.resolution):
        raise ValueError(
            f"run id {row.run!r} is of size {run.resolution}, the row of {row.resolution}; mend one"
        )


def check_names(run_id: str, run: RunId) -> None:
    for name, valid, part in (
        (run.head, HEADS, "head"),
        (run.loss, LOSSES, "loss"),
        (run.data, DATA_SETS, "data set"),
    ):
        if name not in valid:
            raise ValueError(f"run id {run_id!r}: unknown {part} {name!r}; {nearest(name, valid)}")


def check_study(folder: Path) -> None:
    """Raises InputError that names the file, the place and the remedy."""
    check_reported(folder / "reported.csv")
    study = load_study(folder)
    text, rows = study.text, study.rows
    ids = [table.id for table in text.tables]
    for row in rows:
        if row.table not in ids:
            raise InputError(
                f"{folder / 'reported.csv'}: table {row.table!r} is not in study.yaml; "
                f"{nearest(row.table, ids)}"
            )
    for table in text.tables:
        _check_table(folder, table, [row for row in rows if row.table == table.id])
    for key, numbered in (("deviations", text.deviations), ("findings", text.findings)):
        if [item.id for item in numbered] != list(range(1, len(numbered) + 1)):
            raise InputError(
                f"{folder / 'study.yaml'}: {key}: ids must run 1, 2, 3 ...; number them anew"
            )
    named = [
        (f"findings: id {finding.id}", table)
        for finding in text.findings
        for table in finding.tables
    ]
    for where, table in named + [("figure", table) for table in text.figure]:
        if table not in ids:
            raise InputError(
                f"{folder / 'study.yaml'}: {where}: no table {table!r}; {nearest(table, ids)}"
            )
    _check_runs(folder, text, study.runs)


def _check_table(folder: Path, table: Table, rows: list[ReportedRow]) -> None:
    where = f"{folder / 'study.yaml'}: tables: id {table.id!r}:"
    counted = len({row.label for row in rows})
    if counted != table.rows:
        raise InputError(
            f"{where} says {table.rows} rows, {folder / 'reported.csv'} has {counted}; add what is "
            "missing or mend `rows`"
        )
    for key, stated, found in (
        ("columns", table.columns, [row.metric for row in rows]),
        ("data_sets", table.data_sets, [row.data_set for row in rows]),
    ):
        for name in found:
            if name not in stated:
                raise InputError(
                    f"{folder / 'reported.csv'}: table {table.id!r} has {name!r}, which {key} in "
                    f"study.yaml does not list; {nearest(name, stated)}"
                )
        for name in stated:
            if name not in found:
                raise InputError(
                    f"{where} {key} lists {name!r}, which reported.csv does not have; "
                    f"{nearest(name, sorted(set(found)))}"
                )


def _check_runs(folder: Path, text: StudyText, runs: list[str]) -> None:
    """Every run file belongs to a printed row or a sweep, and every rule to a run: else one holds a slip of the pen."""
    for path in sorted([*folder.glob("runs/*.yaml"), *folder.glob("*/runs/*.yaml")]):
        if path.stem not in runs:
            raise InputError(
                f"{path}: no row of reported.csv names this run; {nearest(path.stem, runs)}, "
                "or list it in a sweep of study.yaml"
            )
    for run in text.gflops_of:
        if run not in runs:
            raise InputError(
                f"{folder / 'study.yaml'}: gflops_of: no row of reported.csv names {run!r}; {nearest(run, runs)}"
            )
    parsed = {run: parse_run_id(run) for run in (*runs, *text.gflops_of.values())}
    for run, parts in parsed.items():
        check_names(run, parts)
    rules = {
        "models": text.models,
        "gflops_tool": text.gflops_tool,
        "needs.weights": text.needs.weights,
        "training.schedules": text.training.schedules if text.training else [],
    }
    for key, rule in ((key, rule) for key, group in rules.items() for rule in group):
        if not any(rule.matches(run) for run in parsed.values()):
            raise InputError(
                f"{folder / 'study.yaml'}: {key}: {rule.model_dump(exclude_none=True)} matches no run of "
                "reported.csv; mend or delete it"
            )
