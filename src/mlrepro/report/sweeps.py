"""A study's sweeps: runs that differ in one setting, as a table and, where the setting is a number, a figure. No torch."""

from functools import reduce
from pathlib import Path

from mlrepro.report import figures
from mlrepro.report.pages import figure_link
from mlrepro.report.reported import Sweep
from mlrepro.report.study_results import StudyResults
from mlrepro.report.tables import Runs, code, escape, mean_map, metric_values, number, spread, standard_error, status, table

Points = dict[str, list[tuple[float | str, str]]]  # by series: value of the setting, run


def sweep_points(sweep: Sweep, records: Runs) -> Points:
    """The measured runs in the order of the setting's values, as their records hold it; series without any left out."""
    points = {name: sorted((reduce(getattr, sweep.setting.split("."), records[run][0].run), run) for run in runs
                           if run in records and mean_map(records[run]) is not None) for name, runs in sweep.series.items()}
    return {name: measured for name, measured in points.items() if measured}


def missing_runs(results: StudyResults) -> dict[str, list[str]]:
    """Runs of the sweeps that are not measured completely, each with the ids of its sweeps."""
    missing: dict[str, list[str]] = {}
    for sweep in results.study.text.sweeps:
        for run in sweep.runs:
            if status(results.records.get(run, []), results.seeds) != "complete":
                missing.setdefault(run, []).append(sweep.id)
    return missing


def sweep_sections(results: StudyResults, path: Path) -> list[str]:
    """The page's part on sweeps, figures in `figures/` beside `path`; nothing for a study without any."""
    parts, missing = [], missing_runs(results)
    for sweep in results.study.text.sweeps:
        points = sweep_points(sweep, results.records)
        parts += [f"### {sweep.id}: {escape(sweep.title)}", escape(sweep.text), *_figure(points, sweep, results.records, path)]
        if points:
            rows = [[escape(name), escape(str(value)), spread(metric_values(results.records[run], "mAP")),
                     number(standard_error(results.records[run]))] for name, runs in points.items() for value, run in runs]
            parts.append(table("llrr", ["series", code(sweep.setting), "mAP", "SE"], rows))
        absent = [run for run in sweep.runs if sweep.id in missing.get(run, [])]
        pipelines = dict.fromkeys(stage.partition(":")[0] for run in absent for stage in results.stages.get(run, []))
        if absent:
            parts += [f"Not run, or not completely: {len(absent)} of {len(sweep.runs)} runs. Their pipelines:",
                      "```sh\n" + "\n".join(f"dvc repro {pipeline}" for pipeline in pipelines) + "\n```"]
    return ["## Runs beyond the printed tables", "What the document draws without printing numbers, and what it does not "
            "compare: test mAP by one setting, all others the same.", *parts] if parts else []


def _figure(points: Points, sweep: Sweep, records: Runs, path: Path) -> list[str]:
    """Drawn where some series has two measured values or more, and they are numbers."""
    curves = {name: [(value, mean_map(records[run]), standard_error(records[run])) for value, run in runs]
              for name, runs in points.items() if len(runs) > 1 and not isinstance(runs[0][0], str)}
    return [figure_link(path, sweep.id.lower().replace(" ", "-"), f"Test mAP against {sweep.setting}",
                        lambda stem: figures.map_against_setting(curves, sweep.setting, stem))] if curves else []
