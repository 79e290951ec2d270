"""A study's sweeps: runs that differ in one setting, as a table and, of numbers, as a figure."""

from dataclasses import dataclass
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.judging import completeness, mean_map, metric_values, ranked, standard_error
from mlrepro.pairs import adjust
from mlrepro.records import Record
from mlrepro.report.figures import map_against_setting
from mlrepro.report.markdown import code, number, spread, table
from mlrepro.report.pages import figure_link
from mlrepro.report.tables import points_to_first
from mlrepro.run_pairs import RunPair, RunPairs, unadjusted_pairs
from mlrepro.settings.run import Run
from mlrepro.studies.description import Sweep
from mlrepro.studies.results import StudyResults

# By name of the series its measured runs: the setting's value and the run's records.
Series = dict[str, list[tuple[float | str, list[Record]]]]

# By the best run of a series and another one of it.
PairsWithBest = dict[tuple[str, str], RunPair]


@dataclass(frozen=True)
class SweepSection:
    """What the page shows of a sweep. `figure` and `table`: none where nothing is measured.

    missing:   runs that are not measured completely, of `runs`.
    pipelines: the dvc.yaml files that give them.
    """

    id: str
    title: str
    text: str
    figure: str | None
    table: str | None
    runs: int
    missing: int
    pipelines: list[str]


def sweep_sections(results: StudyResults, page: Path) -> list[SweepSection]:
    """A section a sweep, figures in `figures/` beside `page`."""
    sweeps = [(sweep, _measured_series(results, sweep)) for sweep in results.description.sweeps]
    to_best = _pairs_with_the_best([series for _, series in sweeps])
    return [_section(results, sweep, series, to_best, page) for sweep, series in sweeps]


def missing_runs(results: StudyResults, sweep: Sweep) -> list[str]:
    """Those that are not measured completely."""
    missing = []
    for run in sweep.runs:
        records = results.records.get(run, [])
        if completeness(records, results.seeds) != "complete":
            missing.append(run)
    return missing


def _pairs_with_the_best(sweeps: list[Series]) -> PairsWithBest:
    """Of each series its runs beside the best; p-values are adjusted for all sweeps of the page."""
    by_series = []
    for series in sweeps:
        for points in series.values():
            runs = {records[0].run.run_id: records for _, records in points}
            by_series.append(unadjusted_pairs(ranked(runs)).of_first)

    pairs = [pair for of_series in by_series for pair in of_series]
    adjusted = RunPairs(pairs).replaced(adjust([pair.difference for pair in pairs]))
    return {(pair.first, pair.second): pair for pair in adjusted.pairs}


def _section(
    results: StudyResults, sweep: Sweep, series: Series, to_best: PairsWithBest, page: Path
) -> SweepSection:
    missing = missing_runs(results, sweep)

    # A stage's address begins with the dvc.yaml that holds it.
    stages = []
    for run in missing:
        stages += results.stages.get(run, [])
    pipelines = [stage.partition(":")[0] for stage in stages]

    return SweepSection(
        id=sweep.id,
        title=sweep.title,
        text=sweep.text,
        figure=_figure(sweep, series, page),
        table=_table(sweep, series, to_best),
        runs=len(sweep.runs),
        missing=len(missing),
        pipelines=list(dict.fromkeys(pipelines)),
    )


def _measured_series(results: StudyResults, sweep: Sweep) -> Series:
    """Values as the records hold them, in their order."""
    series: Series = {}
    for name, runs in sweep.series.items():
        measured = []
        for run in runs:
            records = results.records.get(run, [])
            if mean_map(records) is not None:
                value = _setting_value(records[0].run, sweep.setting)
                measured.append((value, run, records))

        # Records cannot be ordered: a tie is for the run id to settle.
        measured.sort(key=lambda point: point[:2])
        series[name] = [(value, records) for value, _, records in measured]
    return series


def _setting_value(run: Run, dotted: str) -> float | str:
    """The value of a setting by its dotted name, such as loss.scale."""
    value = run
    for name in dotted.split("."):
        if not hasattr(value, name):
            raise InputError(
                f"study.yaml: sweeps: run {run.run_id} has no setting {dotted!r}; mend `setting`"
            )
        value = getattr(value, name)
    return value


def _figure(sweep: Sweep, series: Series, page: Path) -> str | None:
    """Test mAP against the setting, of series with two values or more that are numbers."""
    curves = {}
    for name, points in series.items():
        measured = [point for point in points if mean_map(point[1]) is not None]
        if len(measured) > 1 and not isinstance(measured[0][0], str):
            curves[name] = [
                (value, mean_map(records), standard_error(records) or 0.0)
                for value, records in measured
            ]
    if not curves:
        return None

    name = sweep.id.lower().replace(" ", "-")
    title = f"Test mAP against {sweep.setting}"
    return figure_link(page, name, title, map_against_setting, curves, sweep.setting)


def _table(sweep: Sweep, series: Series, to_best: PairsWithBest) -> str | None:
    rows = []
    for name, points in series.items():
        runs = {records[0].run.run_id: records for _, records in points}
        best = next(iter(ranked(runs)), None)
        for value, records in points:
            mAP = spread(metric_values(records, "mAP"))
            error = number(standard_error(records))
            pair = to_best.get((best, records[0].run.run_id))
            rows.append([name, str(value), mAP, error, points_to_first(pair)])
    if not rows:
        return None
    return table("llrrr", ["series", code(sweep.setting), "mAP", "SE", "to best"], rows)
