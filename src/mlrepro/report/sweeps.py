"""A study's sweeps: runs that differ in one setting, as a table and, where the setting is a number, a figure. No torch."""

from functools import reduce
from pathlib import Path

from mlrepro.report.figures import map_against_setting
from mlrepro.report.pages import figure_link
from mlrepro.report.tables import (
    code,
    escape,
    mean_map,
    metric_values,
    number,
    spread,
    standard_error,
    status,
    table,
)
from mlrepro.studies.results import StudyResults


def missing_runs(results: StudyResults) -> list[tuple[str, str]]:
    """(run, id of its sweep) of those that are not measured completely."""
    return [
        (run, sweep.id)
        for sweep in results.study.text.sweeps
        for run in sweep.runs
        if status(results.records.get(run, []), results.seeds) != "complete"
    ]


def sweep_sections(results: StudyResults, path: Path) -> list[str]:
    """The page's part on sweeps, figures in `figures/` beside `path`; nothing for a study without any."""
    parts, records, missing = [], results.records, missing_runs(results)
    for sweep in results.study.text.sweeps:
        parts += [f"### {sweep.id}: {escape(sweep.title)}", escape(sweep.text)]
        # By series the setting's values, as the records hold them, and their runs; only measured ones.
        points = {
            name: sorted(
                (reduce(getattr, sweep.setting.split("."), records[run][0].run), run)
                for run in runs
                if run in records and mean_map(records[run]) is not None
            )
            for name, runs in sweep.series.items()
        }
        curves = {
            name: [
                (value, mean_map(records[run]), standard_error(records[run]))
                for value, run in series
            ]
            for name, series in points.items()
            if len(series) > 1 and not isinstance(series[0][0], str)
        }
        if curves:
            parts.append(
                figure_link(
                    path,
                    sweep.id.lower().replace(" ", "-"),
                    f"Test mAP against {sweep.setting}",
                    map_against_setting,
                    curves,
                    sweep.setting,
                )
            )
        rows = [
            [
                escape(name),
                escape(str(value)),
                spread(metric_values(records[run], "mAP")),
                number(standard_error(records[run])),
            ]
            for name, series in points.items()
            for value, run in series
        ]
        if rows:
            parts.append(table("llrr", ["series", code(sweep.setting), "mAP", "SE"], rows))
        absent = [run for run, sweep_id in missing if sweep_id == sweep.id]
        pipelines = dict.fromkeys(
            stage.partition(":")[0] for run in absent for stage in results.stages.get(run, [])
        )
        if absent:
            parts += [
                f"Not run, or not completely: {len(absent)} of {len(sweep.runs)} runs. Their pipelines:",
                "```sh\n" + "\n".join(f"dvc repro {pipeline}" for pipeline in pipelines) + "\n```",
            ]
    return (
        [
            "## Runs beyond the printed tables",
            "What the document draws without printing numbers, and what it does not "
            "compare: test mAP by one setting, all others the same.",
            *parts,
        ]
        if parts
        else []
    )
