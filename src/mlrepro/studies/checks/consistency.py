"""Checks of a study's own files: reported.csv, study.yaml and run files, each and with the others.

What a study's author must mend is an InputError that names the file, the place and the remedy.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mlrepro.data.class_counts import CLASS_COUNTS
from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.losses import LossSettings
from mlrepro.settings.run import Head
from mlrepro.settings.run_id import RunId, parse_run_id
from mlrepro.studies.description import Description, Rule, Table
from mlrepro.studies.reported import ReportedRow, load_reported
from mlrepro.studies.study import Study, load_study

NUMBER = re.compile(r"-?\d+(\.\d+)?")
PRINTED = re.compile(r"[~+]?(-?\d+(?:\.\d+)?)(?:±(\d+(?:\.\d+)?))?(?:s|M|MB)?")


def _loss_names() -> list[str]:
    """Those that the settings know, family by family."""
    names = []
    families = get_args(get_args(LossSettings)[0])
    for family in families:
        names += get_args(family.model_fields["name"].annotation)
    return names


HEADS = list(get_args(Head))
LOSSES = _loss_names()
DATA_SETS = list(CLASS_COUNTS)


# ---- reported.csv -------------------------------------------------------------------------------


class _Seen:
    """The lines so far, and what no later one may contradict."""

    def __init__(self) -> None:
        self.lines: dict[tuple, int] = {}  # by cell
        self.runs: dict[tuple, str] = {}  # by place
        self.places: dict[tuple, tuple] = {}  # by table and run

    def add(self, row: ReportedRow, line: int) -> None:
        """Raises ValueError where a row says what another line says otherwise."""
        first = self.lines.setdefault(row.cell, line)
        if first != line:
            raise ValueError(f"the cell {row.cell} stands in line {first} too; delete one of them")

        run = self.runs.setdefault(row.place, row.run)
        if run != row.run:
            raise ValueError(f"row {row.row!r} names two runs, {run!r} and {row.run!r}; keep one")

        if not row.run:
            return
        place = self.places.setdefault((row.table, row.run), row.place)
        if place != row.place:
            raise ValueError(
                f"run {row.run!r} stands in two rows of table {row.table}, {row.row!r} and "
                f"{place[1]!r}; give one of them a variant"
            )


def check_reported(path: Path) -> None:
    """Raises InputError for the first line that does not agree with itself or an earlier one."""
    rows = load_reported(path)
    columns = list(ReportedRow.model_fields)
    seen = _Seen()

    # Once more as text: what is verbatim shows before it is read as a number.
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        if list(reader.fieldnames) != columns:
            raise InputError(f"{path}:1: columns must be exactly {','.join(columns)}")

        for row, values in zip(rows, reader, strict=True):
            try:
                _check_number(values)
                _check_run(row)
                seen.add(row, reader.line_num)
            except ValueError as error:
                raise InputError(f"{path}:{reader.line_num}: {error}") from None


def _check_number(values: dict[str, str]) -> None:
    """`number` and `std` are plain decimals, and those that `printed` shows."""
    number, std, text = values["number"], values["std"], values["printed"]
    for key in ("number", "std"):
        if values[key] and not NUMBER.fullmatch(values[key]):
            raise ValueError(
                f"{key} {values[key]!r} is not a plain decimal number; write digits and a decimal "
                "point"
            )

    printed = PRINTED.fullmatch(text)
    if printed is None:
        return
    printed_number, printed_std = printed.groups(default="")
    if float(printed_number) != float(number) or printed_std != std:
        raise ValueError(
            f"number {number!r} (std {std!r}) is not what is printed, {text!r}; "
            "copy it again from the paper"
        )


def _check_run(row: ReportedRow) -> None:
    """A row names a run of its data set and size, or says why there is none."""
    if not row.run:
        if not row.note:
            raise ValueError(
                "no run and no note; name the run, or say in `note` why no run of ours can give "
                "this"
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
    """Raises ValueError for a head, a loss or a data set that there is not."""
    _check_name(run_id, "head", run.head, HEADS)
    _check_name(run_id, "loss", run.loss, LOSSES)
    _check_name(run_id, "data set", run.data, DATA_SETS)


def _check_name(run_id: str, part: str, name: str, valid: list[str]) -> None:
    if name not in valid:
        raise ValueError(f"run id {run_id!r}: unknown {part} {name!r}; {nearest(name, valid)}")


# ---- study.yaml with it -------------------------------------------------------------------------


def check_study(folder: Path) -> None:
    """Raises InputError where the files of studies/<name> do not agree."""
    check_reported(folder / "reported.csv")
    study = load_study(folder)

    _check_tables(folder, study)
    _check_numbering(folder, study.description)
    _check_named_tables(folder, study.description)
    _check_run_files(folder, study.runs)
    _check_rules(folder, study)


def _check_tables(folder: Path, study: Study) -> None:
    """Every row's table is described, and every table is as it is described."""
    tables = study.description.tables
    ids = [table.id for table in tables]
    for row in study.rows:
        if row.table not in ids:
            raise InputError(
                f"{folder / 'reported.csv'}: table {row.table!r} is not in study.yaml; "
                f"{nearest(row.table, ids)}"
            )
    for table in tables:
        _check_table(folder, table, [row for row in study.rows if row.table == table.id])


def _check_table(folder: Path, table: Table, rows: list[ReportedRow]) -> None:
    counted = len({row.label for row in rows})
    if counted != table.rows:
        raise InputError(
            f"{folder / 'study.yaml'}: tables: id {table.id!r}: says {table.rows} rows, "
            f"{folder / 'reported.csv'} has {counted}; add what is missing or mend `rows`"
        )
    _check_listed(folder, table, "columns", [row.metric for row in rows])
    _check_listed(folder, table, "data_sets", [row.data_set for row in rows])


def _check_listed(folder: Path, table: Table, key: str, printed: list[str]) -> None:
    """`key` of the table lists exactly what is `printed`."""
    listed = getattr(table, key)
    for name in printed:
        if name not in listed:
            raise InputError(
                f"{folder / 'reported.csv'}: table {table.id!r} has {name!r}, which {key} in "
                f"study.yaml does not list; {nearest(name, listed)}"
            )
    for name in listed:
        if name not in printed:
            raise InputError(
                f"{folder / 'study.yaml'}: tables: id {table.id!r}: {key} lists {name!r}, which "
                f"reported.csv does not have; {nearest(name, sorted(set(printed)))}"
            )


def _check_numbering(folder: Path, description: Description) -> None:
    numbered = {"deviations": description.deviations, "findings": description.findings}
    for key, items in numbered.items():
        ids = [item.id for item in items]
        if ids != list(range(1, len(ids) + 1)):
            raise InputError(
                f"{folder / 'study.yaml'}: {key}: ids must run 1, 2, 3 ...; number them anew"
            )


def _check_named_tables(folder: Path, description: Description) -> None:
    """Findings and the figure name tables that there are."""
    named = []
    for finding in description.findings:
        named += [(f"findings: id {finding.id}", table) for table in finding.tables]
    named += [("figure", table) for table in description.figure]

    ids = [table.id for table in description.tables]
    for where, table in named:
        if table not in ids:
            raise InputError(
                f"{folder / 'study.yaml'}: {where}: no table {table!r}; {nearest(table, ids)}"
            )


# ---- Run files and rules with both --------------------------------------------------------------


def _check_run_files(folder: Path, runs: list[str]) -> None:
    """Every run file belongs to a printed row or a sweep."""
    for path in sorted([*folder.glob("runs/*.yaml"), *folder.glob("*/runs/*.yaml")]):
        if path.stem not in runs:
            raise InputError(
                f"{path}: no row of reported.csv names this run; {nearest(path.stem, runs)}, "
                "or list it in a sweep of study.yaml"
            )


def _check_rules(folder: Path, study: Study) -> None:
    """Every rule belongs to a run: else one of them holds a slip of the pen."""
    description = study.description
    for run in description.gflops_of:
        if run not in study.runs:
            raise InputError(
                f"{folder / 'study.yaml'}: gflops_of: no row of reported.csv names {run!r}; "
                f"{nearest(run, study.runs)}"
            )

    runs = []
    for run_id in (*study.runs, *description.gflops_of.values()):
        run = parse_run_id(run_id)
        check_names(run_id, run)
        runs.append(run)

    _check_matches(folder, "models", description.models, runs)
    _check_matches(folder, "gflops_tool", description.gflops_tool, runs)
    _check_matches(folder, "needs.weights", description.needs.weights, runs)
    _check_matches(folder, "training.schedules", description.training.schedules, runs)


def _check_matches(folder: Path, key: str, rules: Sequence[Rule], runs: list[RunId]) -> None:
    for rule in rules:
        if not any(rule.matches(run) for run in runs):
            raise InputError(
                f"{folder / 'study.yaml'}: {key}: {rule.model_dump(exclude_none=True)} matches no "
                "run of reported.csv; mend or delete it"
            )
