"""`mlrepro plan`: what a pipeline, or a study with all its pipelines, would train and fetch, what is done, how long it takes."""

import shutil
from pathlib import Path

from mlrepro.layout import Layout, current_records, read_layouts
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.studies.estimates import gpu_hours
from mlrepro.studies.results import read_study


def plan(settings: Path, measure: bool = False) -> None:
    """Prints it. GPU hours are estimated as on the study's page, for one H200-class card; none for own data and the demo."""
    layouts = read_layouts(settings)
    results = (
        read_study(layouts[0].folder) if (layouts[0].folder / "study.yaml").is_file() else None
    )
    for layout in layouts:
        done = {
            (run, record.seed) for run, group in current_records(layout).items() for record in group
        }
        asked = {(run, seed) for run, seeds in layout.expected.items() for seed in seeds}
        hours = [gpu_hours(results, run) for run, _ in asked - done] if results else []
        here = (
            time_here(layout, asked - done)
            if measure
            else f"time on this machine: mlrepro plan {layout.settings} --measure"
        )
        print(
            f"{layout.settings}: {len(asked)} trainings, {len(asked & done)} done"
            + f", about {sum(filter(None, hours)):.1f} GPU hours left" * bool(hours)
            + f" and {hours.count(None)} trainings of unknown cost" * (None in hours)
            + f"; next: dvc repro {layout.dvc_file}; {here}" * (not asked <= done)
        )
    known = load_pipeline(Path("data/params.yaml")).data
    for name, data in {
        one.name: one.pipeline.data.get(one.name) or known.get(one.name) for one in layouts
    }.items():
        lacking = [
            one
            for one in (data.archives if data else [])
            if not (Path("data") / name / "archives" / one.name).exists()
        ]
        sizes = ", ".join(
            f"{one.name} ({f'{one.size / 1e9:.2f} GB' if one.size else 'size not stated'})"
            for one in lacking
        )
        place = (
            f"used in place in {data.folder}"
            if data and data.folder
            else f"to download {sizes or 'nothing'}"
        )
        print(
            f"data {name}: {place}" + "; unpacked, pictures take about as much again" * bool(sizes)
        )
    print(f"disk: {shutil.disk_usage('.').free / 1e9:.1f} GB are free")


def time_here(layout: Layout, left: set[tuple[str, int]]) -> str:
    """Of the trainings (run, seed) in `left`, those of the search left out; how it comes about is printed."""
    from mlrepro_cli.throughput import measure, predict  # here, for the others need no torch

    seconds = {}
    for run in filter(
        lambda run: run.epochs,
        map(layout.run, sorted({run_id for run_id, _ in left} - {*layout.searched})),
    ):
        speed = measure(run, layout.data)
        seconds[run.run_id] = predict(run, **speed)
        print(
            f"{run.run_id}: {seconds[run.run_id]:.0f} s a seed, {speed['gmacs']:.3g} GMACs a picture, {speed['train']:.3g} a s"
        )
    return f"about {sum(seconds.get(run_id, 0) for run_id, _ in left) / 60:.1f} minutes of train stages on this machine"
