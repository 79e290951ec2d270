"""What study.yaml and reported.csv of a study must agree on, and its run files with them."""

from pathlib import Path

from mlrepro.config import nearest
from mlrepro.errors import InputError
from mlrepro.report.reported import ReportedRow, StudyText, Table, load_study, parse_run_id


def check_study(folder: Path) -> None:
    """Raises InputError that names the file, the place and the remedy."""
    folder = Path(folder)
    study = load_study(folder)
    text, rows = study.text, study.rows
    ids = [table.id for table in text.tables]
    for row in rows:
        if row.table not in ids:
            raise InputError(f"{folder / 'reported.csv'}: table {row.table!r} is not in study.yaml; "
                             f"{nearest(row.table, ids)}")
    for table in text.tables:
        _check_table(folder, table, [row for row in rows if row.table == table.id])
    for key, numbered in (("deviations", text.deviations), ("findings", text.findings)):
        if [item.id for item in numbered] != list(range(1, len(numbered) + 1)):
            raise InputError(f"{folder / 'study.yaml'}: {key}: ids must run 1, 2, 3 ...; number them anew")
    named = [(f"findings: id {finding.id}", table) for finding in text.findings for table in finding.tables]
    for where, table in named + [("figure", table) for table in text.figure]:
        if table not in ids:
            raise InputError(f"{folder / 'study.yaml'}: {where}: no table {table!r}; {nearest(table, ids)}")
    _check_runs(folder, text, study.runs)


def _check_table(folder: Path, table: Table, rows: list[ReportedRow]) -> None:
    where = f"{folder / 'study.yaml'}: tables: id {table.id!r}:"
    counted = len({row.label for row in rows})
    if counted != table.rows:
        raise InputError(f"{where} says {table.rows} rows, {folder / 'reported.csv'} has {counted}; add what is "
                         "missing or mend `rows`")
    for key, stated, found in (("columns", table.columns, [row.metric for row in rows]),
                               ("data_sets", table.data_sets, [row.data_set for row in rows])):
        for name in found:
            if name not in stated:
                raise InputError(f"{folder / 'reported.csv'}: table {table.id!r} has {name!r}, which {key} in "
                                 f"study.yaml does not list; {nearest(name, stated)}")
        for name in stated:
            if name not in found:
                raise InputError(f"{where} {key} lists {name!r}, which reported.csv does not have; "
                                 f"{nearest(name, sorted(set(found)))}")


def _check_runs(folder: Path, text: StudyText, runs: list[str]) -> None:
    """Every run file belongs to a printed row or a sweep, and every rule to a run: else one holds a slip of the pen."""
    for path in sorted([*folder.glob("runs/*.yaml"), *folder.glob("*/runs/*.yaml")]):
        if path.stem not in runs:
            raise InputError(f"{path}: no row of reported.csv names this run; {nearest(path.stem, runs)}, "
                             "or list it in a sweep of study.yaml")
    for run in text.gflops_of:
        if run not in runs:
            raise InputError(f"{folder / 'study.yaml'}: gflops_of: no row of reported.csv names {run!r}; {nearest(run, runs)}")
    parsed = [parse_run_id(run) for run in (*runs, *text.gflops_of.values())]
    rules = {"models": text.models, "gflops_tool": text.gflops_tool, "needs.weights": text.needs.weights,
             "training.schedules": text.training.schedules if text.training else []}
    for key, rule in ((key, rule) for key, group in rules.items() for rule in group):
        if not any(rule.matches(run) for run in parsed):
            raise InputError(f"{folder / 'study.yaml'}: {key}: {rule.model_dump(exclude_none=True)} matches no run of "
                             "reported.csv; mend or delete it")
