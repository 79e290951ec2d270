"""Which DVC stages give the records of a study's runs."""

from pathlib import Path

from mlrepro.settings.pipeline import Pipeline, load_pipeline


def stages_by_run(folder: Path) -> dict[str, list[str]]:
    """By run id the addresses of the stages that end in its records, one a seed.

    A study is one pipeline, or has one a data set in folders below it.
    """
    stages = {}
    for settings in sorted([*folder.glob("params.yaml"), *folder.glob("*/params.yaml")]):
        dvc_file = settings.with_name("dvc.yaml").as_posix()
        stages |= _stages_of(load_pipeline(settings), dvc_file)
    return stages


def _stages_of(pipeline: Pipeline, dvc_file: str) -> dict[str, list[str]]:
    stages = {}

    # One stage trains all the search's runs, for all seeds.
    if pipeline.search:
        for run, _ in pipeline.grid():
            stages[run.run_id] = [f"{dvc_file}:search"]

    for run_id in pipeline.zero_shot_runs():
        stages[run_id] = [f"{dvc_file}:zero_shot"]

    for run_id in pipeline.runs:
        stages[run_id] = [f"{dvc_file}:evaluate@{run_id}-{seed}" for seed in pipeline.seeds]
    return stages
