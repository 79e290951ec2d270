"""What of a study is not run, and what a reader needs to run it: data, weights, hours, commands."""

from collections import Counter
from dataclasses import dataclass

from mlrepro.report.markdown import ABSENT, Markdown, code, escape, folded, table
from mlrepro.report.pages import failed_section
from mlrepro.report.study_tables import columns_table, kept
from mlrepro.report.sweeps import missing_runs
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.description import Schedule, last_match
from mlrepro.studies.estimates import BACKWARD, THROUGHPUT, gpu_hours
from mlrepro.studies.results import StudyResults

# Statuses of rows whose run has something left to do.
UNFINISHED = ("not-run", "partial", "failed")


@dataclass(frozen=True)
class MissingOnDataSet:
    """Runs that are missing on one data set. `prepare`: the data set's name in data/params.yaml."""

    data_set: str
    count: str
    described: bool
    prepare: str | None
    gigabytes: str | None
    text: str
    table: str


@dataclass(frozen=True)
class Missing:
    """All that is missing.

    failed:     paragraphs on what the last launch could not do.
    runs:       how many are missing; `estimated` of them have a known cost, of `hours` together.
    commands:   addresses of the DVC stages that give what is missing.
    everything: the dvc.yaml that gives all of them, of studies with a pipeline a data set.
    """

    failed: list[str]
    runs: int
    estimated: int
    hours: float
    backward: int
    teraflops: float
    pictures_source: str
    epochs_sources: list[str]
    weights: str
    data_sets: list[MissingOnDataSet]
    commands: list[str]
    everything: str | None


def missing(results: StudyResults) -> Missing | None:
    """None where every run is there."""
    tables_by_run = _tables_by_run(results)
    if not tables_by_run:
        return None

    estimates = [gpu_hours(results, run) for run in tables_by_run]
    known = [hours for hours in estimates if hours is not None]

    # One search stage gives many runs.
    commands = []
    for run in tables_by_run:
        commands += results.stages.get(run, [])
    everything = results.folder / "tables" / "dvc.yaml"

    training = results.description.training
    return Missing(
        failed=failed_section(results.failures),
        runs=len(tables_by_run),
        estimated=len(known),
        hours=sum(known),
        backward=BACKWARD,
        teraflops=THROUGHPUT / 1e12,
        pictures_source=training.source,
        epochs_sources=list(dict.fromkeys(schedule.source for schedule in training.schedules)),
        weights=_weights_table(results, list(tables_by_run)),
        data_sets=_by_data_set(results, tables_by_run),
        commands=list(dict.fromkeys(commands)),
        everything=everything.as_posix() if everything.exists() else None,
    )


def _tables_by_run(results: StudyResults) -> dict[str, list[str]]:
    """By missing run the tables and sweeps that want it."""
    tables: dict[str, list[str]] = {}
    for result in results.all:
        # Counts of a data set are of no run.
        if result.status in UNFINISHED and result.row.run:
            tables.setdefault(result.row.run, []).append(result.row.table)

    for sweep in results.description.sweeps:
        for run in missing_runs(results, sweep):
            tables.setdefault(run, []).append(sweep.id)

    # A run may stand in a table twice, on two data sets' lines or under two names.
    return {run: list(dict.fromkeys(names)) for run, names in tables.items()}


def _weights_table(results: StudyResults, runs: list[str]) -> str:
    """What the runs start from: a line for each, with how many runs it is for."""
    counts: Counter = Counter()
    for run_id in runs:
        run = parse_run_id(run_id)
        rule = last_match(results.description.needs.weights, run)
        variant = code(rule.variant) if rule and rule.variant else ""
        weights = escape(rule.weights) if rule else ABSENT
        counts[code(run.backbone), variant, weights] += 1

    columns = {"backbone": [], "variant": [], "weights to start from": [], "runs": []}
    for (backbone, variant, weights), count in sorted(counts.items()):
        columns["backbone"].append(backbone)
        columns["variant"].append(variant)
        columns["weights to start from"].append(weights)
        columns["runs"].append(str(count))
    return columns_table(kept(columns))


def _by_data_set(
    results: StudyResults, tables_by_run: dict[str, list[str]]
) -> list[MissingOnDataSet]:
    runs_by_set: dict[str, list[str]] = {}
    for run in tables_by_run:
        runs_by_set.setdefault(parse_run_id(run).data, []).append(run)

    sections = []
    for data_set, runs in runs_by_set.items():
        count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        rows = [_run_row(results, run, tables_by_run[run]) for run in runs]
        headers = ["run", "tables", "epochs", "GPU hours", "run file"]

        need = results.description.needs.data.get(data_set)
        sections.append(
            MissingOnDataSet(
                data_set=data_set,
                count=count,
                described=need is not None,
                prepare=need.set if need else None,
                gigabytes=f"{need.gigabytes:g}" if need and need.gigabytes else None,
                text=escape(need.text) if need else "",
                table=folded(table("lllrl", headers, rows), len(rows), count),
            )
        )
    return sections


def _run_row(results: StudyResults, run: str, tables: list[str]) -> list[str]:
    schedule = last_match(results.description.training.schedules, parse_run_id(run))
    return [
        code(run),
        ", ".join(tables),
        _epochs_text(schedule),
        _hours_text(gpu_hours(results, run)),
        "yes" if run in results.stages else "no run file yet",
    ]


def _epochs_text(schedule: Schedule | None) -> str:
    if schedule is None:
        return "not stated"
    text = "not stated" if schedule.epochs is None else str(schedule.epochs)
    if schedule.passes > 1:
        text += f" x {schedule.passes} passes"
    return text


def _hours_text(hours: float | None) -> str:
    if hours is None:
        return ABSENT
    return f"{hours:.1f}" if hours >= 0.1 else Markdown("< 0.1")
