"""`mlrepro plan`: what a pipeline, or a study with all its pipelines, would train and fetch."""

import shutil
from pathlib import Path

from mlrepro.data.manifest import MANIFEST, read_manifest
from mlrepro.data.watch import content_now, tell_of_label_files
from mlrepro.layout import Layout, read_layouts
from mlrepro.settings.data import Archive, DataSettings
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.studies.estimates import gpu_hours
from mlrepro.studies.results import StudyResults, read_study
from mlrepro.studies.runs import current_records, read_run

# Where data sets lie, and what is known of those that several pipelines use.
DATA = Path("data")

# A run id and a seed.
Training = tuple[str, int]


def plan(settings: Path, measure: bool = False) -> None:
    """Prints trainings, done and to do, with their cost; downloads; and the room on the disk.

    GPU hours are estimated as on the study's page, for one H200-class card; there are none for own
    data and the demo. measure: also the time on this machine, from each run's first steps.
    """
    layouts = read_layouts(settings)
    study = layouts[0].folder
    results = read_study(study) if (study / "study.yaml").is_file() else None

    for layout in layouts:
        _print_trainings(layout, results, measure)
    for name, data in _data_sets(layouts).items():
        _print_data_set(name, data)
    print(f"disk: {shutil.disk_usage('.').free / 1e9:.1f} GB are free")


def _print_trainings(layout: Layout, results: StudyResults | None, measure: bool) -> None:
    asked = {(run, seed) for run, seeds in layout.expected.items() for seed in seeds}
    records = current_records(layout)
    done = {(run, record.seed) for run, group in records.items() for record in group}
    if asked & done:
        problem = _own_data_problem(layout)
        if problem:
            print(f"{layout.name}: {problem}, so that all of it counts as not done")
            done = set()
    left = asked - done

    text = f"{layout.settings}: {len(asked)} trainings, {len(asked & done)} done"
    if results and left:
        text += _gpu_hours_left(results, left)
    if left:
        text += f"; next: dvc repro {layout.dvc_file}; "
        if measure:
            text += time_here(layout, left)
        else:
            text += f"time on this machine: mlrepro plan {layout.settings} --measure"
    print(text)


def _own_data_problem(layout: Layout) -> str | None:
    """Why records may be of other own pictures or labels than those of now; none: they are not."""
    settings = layout.pipeline.data.get(layout.name)
    if not settings or not settings.watched:
        return None

    # DVC removes it where the stage that makes it fails, as for a picture that is gone.
    if not (layout.data / MANIFEST).is_file():
        return (
            "its pictures are not prepared, and may be others than those that were trained on "
            f"({layout.data / MANIFEST} is not there)"
        )
    if content_now(settings, layout.data) != read_manifest(layout.data).content:
        return "pictures or labels are others than those that were trained on"
    return None


def _gpu_hours_left(results: StudyResults, left: set[Training]) -> str:
    hours = [gpu_hours(results, run) for run, _ in left]
    known = [value for value in hours if value is not None]

    total = sum(known)
    text = (
        f", about {total:.1f} GPU hours left" if total >= 0.05 else ", less than 0.1 GPU hours left"
    )
    if len(known) < len(hours):
        text += f" and {len(hours) - len(known)} trainings of unknown cost"
    return text


def time_here(layout: Layout, left: set[Training]) -> str:
    """The time of the stages of the trainings `left` on this machine.

    Prints how it comes about: a line a file of features that lacks, a line a run, and a line of the
    search. Without data stages and pages. Raises InputError where the data are not prepared.
    """
    # Imported here, because all else that `plan` prints needs no torch.
    from mlrepro.data.manifest import read_manifest
    from mlrepro_cli.plan.extraction import measure_extraction, missing_features, stand_ins
    from mlrepro_cli.plan.search import predict_search
    from mlrepro_cli.plan.throughput import lock_seconds, measure, predict, predict_evaluation

    manifest = read_manifest(layout.data)
    extractions = [measure_extraction(features, manifest) for features in missing_features(layout)]
    for one in extractions:
        features = one.features
        kind = "maps" if features.maps else "features"
        print(f"{kind} of {features.backbone} at {features.resolution} px: {one.seconds:.0f} s")

    # The search trains its runs all at once; zero_shot trains none.
    left_ids = {run_id for run_id, _ in left}
    run_ids = left_ids - {*layout.searched, *layout.zero_shot}
    search = 0.0
    train: dict[str, float] = {}
    evaluate: dict[str, float] = {}
    with stand_ins(layout.data, extractions, manifest) as data_folder:
        if left_ids & layout.searched.keys():
            search = predict_search(layout, data_folder)
            print(f"search of {len(layout.pipeline.grid())} layers: {search:.0f} s")

        for run_id in sorted(run_ids):
            run = read_run(layout, run_id)
            if not run.epochs:
                continue

            speed = measure(run, data_folder)
            train[run_id] = predict(run, speed)
            evaluate[run_id] = predict_evaluation(run, speed)
            print(
                f"{run_id}: {train[run_id]:.0f} s a seed and {evaluate[run_id]:.0f} s to evaluate, "
                f"{speed.gmacs:.3g} GMACs a picture, {speed.train:.3g} a s"
            )

    trained = [run_id for run_id, _ in left if run_id in train]
    minutes = {
        "extract": sum(one.seconds for one in extractions) / 60,
        "search": search / 60,
        "train": sum(train[run_id] for run_id in trained) / 60,
        "evaluate": sum(evaluate[run_id] for run_id in trained) / 60,
        # Its lock file is written after each train and after each evaluate stage.
        "DVC": 2 * len(trained) * lock_seconds(layout) / 60,
    }
    parts = ", ".join(f"{part} {value:.1f}" for part, value in minutes.items() if value >= 0.05)
    return f"about {sum(minutes.values()):.1f} minutes on this machine ({parts})"


def _data_sets(layouts: list[Layout]) -> dict[str, DataSettings | None]:
    """The pipelines' data sets by name; none: nothing describes it."""
    shared = load_pipeline(DATA / "params.yaml").data
    return {
        layout.name: layout.pipeline.data.get(layout.name) or shared.get(layout.name)
        for layout in layouts
    }


def _print_data_set(name: str, data: DataSettings | None) -> None:
    archives = data.archives if data else []
    folder = DATA / name / "archives"
    lacking = [archive for archive in archives if not (folder / archive.name).exists()]

    if data and data.watched:
        tell_of_label_files(data)
    if data and data.folder:
        text = f"used in place in {data.folder}"
    else:
        downloads = ", ".join(f"{archive.name} ({_size(archive)})" for archive in lacking)
        text = f"to download {downloads or 'nothing'}"
    if lacking:
        text += "; unpacked, pictures take about as much again"
    print(f"data {name}: {text}")


def _size(archive: Archive) -> str:
    return f"{archive.size / 1e9:.2f} GB" if archive.size else "size not stated"
