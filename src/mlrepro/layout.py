"""Where a pipeline keeps its files. The root pipeline is the study `demo`; the others live in studies/<study>/, or, where a
study has a pipeline a data set, in studies/<study>/<data set>/."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlrepro.records import Record, read_record, read_records
from mlrepro.settings.pipeline import Pipeline, load_pipeline
from mlrepro.settings.run import Run, load_run


@dataclass(frozen=True)
class Layout:
    """Paths of one pipeline, relative to the repository's root; `settings`: its params.yaml."""

    settings: Path
    pipeline: Pipeline

    @property
    def study(self) -> str:
        return self.folder.name or "demo"

    @property
    def folder(self) -> Path:
        """The study's: what it prints (reported.csv) and what we measured (results/)."""
        return (
            Path(*self.settings.parts[:2])
            if self.settings.parts[0] == "studies"
            else self.settings.parent
        )

    @property
    def name(self) -> str:
        """Of the data set: names its folder, its records and in own-data its report."""
        return self.pipeline.name

    @property
    def data(self) -> Path:
        return Path("data") / self.name

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.name

    @property
    def page(self) -> Path:
        several = self.study == "own-data" or len(self.settings.parts) > 3  # a page a data set
        return Path("reports") / (f"{self.study}-{self.name}.md" if several else f"{self.study}.md")

    @property
    def review(self) -> Path:
        return Path("outputs") / self.study / self.name / "review"

    @property
    def dvc_file(self) -> str:
        return self.settings.with_name("dvc.yaml").as_posix()

    @cached_property
    def searched(self) -> dict[str, list[int]]:
        """The runs that the search chooses a learning rate and batch size for, and their seeds."""
        members = self.pipeline.grid() if self.pipeline.search else []
        return {
            run.run_id: self.pipeline.search.seeds
            for run, _ in members
            if run.run_id not in self.pipeline.runs
        }

    @property
    def expected(self) -> dict[str, list[int]]:
        return dict.fromkeys(self.pipeline.runs, self.pipeline.seeds) | self.searched

    def run(self, run_id: str, seed: int = 0) -> Run:
        if run_id in self.searched:
            return read_record(self.record(run_id, seed)).run
        return load_run(self.settings.parent / "runs" / f"{run_id}.yaml")

    def output(self, run_id: str, seed: int) -> Path:
        """What is made of one run and seed: the folder `trained`, logits.safetensors, what stages outside the pipeline add."""
        return (
            Path("outputs")
            / self.study
            / self.name
            / ("search" if run_id in self.searched else "")
            / f"{run_id}-s{seed}"
        )

    def trained(self, run_id: str, seed: int) -> Path:
        """What its training wrote: weights, history.csv, training.json; a folder that DVC takes as a whole."""
        return self.output(run_id, seed) / "training"

    def record(self, run_id: str, seed: int) -> Path:
        return self.results / f"{run_id}-s{seed}.json"


def current_records(layout: Layout) -> dict[str, list[Record]]:
    """The pipeline's records by run id, without those whose run file has changed since: they are named and left out."""
    records = read_records(layout.results)
    for run_id in set(records) & set(layout.pipeline.runs):
        current = [
            record for record in records[run_id] if record.run.digest == layout.run(run_id).digest
        ]
        if len(current) < len(records[run_id]):
            print(
                f"{run_id}: its run file has changed since its records were made; they are left out until it is run again"
            )
        records[run_id] = current
    return {run_id: group for run_id, group in records.items() if group}


def read_layout(settings: str | os.PathLike) -> Layout:
    """The layout of the pipeline whose params.yaml is `settings`, a path relative to the repository's root."""
    return Layout(Path(settings), load_pipeline(Path(settings)))


def read_layouts(settings: str | os.PathLike) -> list[Layout]:
    """That pipeline's, and where it is a study's page alone, also those of the pipelines in the folders below."""
    first = read_layout(settings)
    alone = not (first.folder / "study.yaml").is_file() or first.settings.parent != first.folder
    return [first, *([] if alone else map(read_layout, sorted(first.folder.glob("*/params.yaml"))))]
