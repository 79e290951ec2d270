"""Where a pipeline keeps its files.

The root pipeline is the study `demo`. The others live in studies/<study>/, or, where a study has a
pipeline a data set, in studies/<study>/<data set>/.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlrepro.settings.pipeline import Pipeline, load_pipeline

OUTPUTS = Path("outputs")
# Of `mlrepro init-data`: tables of labels, and what people answered of them.
OWN_TABLES = Path("data/own")
OWN_DATA = "own-data"
ENVIRONMENT = "environment.json"


@dataclass(frozen=True)
class Layout:
    """Paths of one pipeline, relative to the repository's root. settings: its params.yaml."""

    settings: Path
    pipeline: Pipeline

    # ---- Names -------------------------------------------------------------------------------

    @property
    def study(self) -> str:
        return self.folder.name or "demo"

    @property
    def own_data(self) -> bool:
        """Whether it is of a user's own pictures, and not of a study."""
        return self.study == OWN_DATA

    @property
    def name(self) -> str:
        """Of the data set: names its folder, its records and in own-data its report."""
        return self.pipeline.name

    @property
    def experiment(self) -> str:
        """Of its runs in MLflow."""
        return f"{self.study}/{self.name}"

    @property
    def dvc_file(self) -> str:
        return self.settings.with_name("dvc.yaml").as_posix()

    # ---- Of the pipeline ---------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The study's: what it prints (reported.csv) and what we measured (results/)."""
        # Also of studies/<study>/<data set>/params.yaml.
        if self.settings.parts[0] == "studies":
            return Path(*self.settings.parts[:2])
        return self.settings.parent

    @property
    def data(self) -> Path:
        return Path("data") / self.name

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.name

    @property
    def page(self) -> Path:
        # More than studies/<study>/params.yaml.
        page_a_data_set = self.own_data or len(self.settings.parts) > 3
        stem = f"{self.study}-{self.name}" if page_a_data_set else self.study
        return Path("reports") / f"{stem}.md"

    @property
    def answers(self) -> Path:
        """What people answered on the review's page, as `init-data --answers` keeps it."""
        return kept_answers(self.name)

    @property
    def review(self) -> Path:
        return self._outputs / "review"

    @property
    def _outputs(self) -> Path:
        return OUTPUTS / self.study / self.name

    # ---- Runs --------------------------------------------------------------------------------

    @cached_property
    def searched(self) -> dict[str, list[int]]:
        """Runs that the search chooses a learning rate and batch size for, and their seeds."""
        if not self.pipeline.search:
            return {}
        seeds: dict[str, list[int]] = {}
        for run, seed in self.pipeline.grid():
            of_run = seeds.setdefault(run.run_id, [])
            if seed not in of_run:
                of_run.append(seed)
        return {
            run_id: of_run for run_id, of_run in seeds.items() if run_id not in self.pipeline.runs
        }

    @cached_property
    def zero_shot(self) -> dict[str, list[int]]:
        """Runs that are made of the labels' names, and their one seed: nothing is drawn."""
        return {run_id: self.pipeline.seeds[:1] for run_id in self.pipeline.zero_shot_runs()}

    @property
    def expected(self) -> dict[str, list[int]]:
        """All runs and their seeds."""
        trained = dict.fromkeys(self.pipeline.runs, self.pipeline.seeds)
        return trained | self.searched | self.zero_shot

    def run_file(self, run_id: str) -> Path:
        """The settings of a run that is not searched."""
        return self.settings.parent / "runs" / f"{run_id}.yaml"

    @property
    def code(self) -> Path:
        """Digests of the code behind each run: a folder a pipeline."""
        pipeline = self.settings.parent.parts[1:] or ("demo",)
        return Path("outputs", "code", *pipeline)

    @property
    def search(self) -> Path:
        """What a search makes: its grid, and the folders of its runs."""
        return self._outputs / "search"

    @property
    def zero_shot_outputs(self) -> Path:
        """The folders of runs that are made of the labels' names."""
        return self._outputs / "zero-shot"

    def output(self, run_id: str, seed: int) -> Path:
        """What is made of one run and seed.

        The folder `trained`, logits.safetensors, what stages outside the pipeline add.
        """
        stage = self._outputs
        if run_id in self.searched:
            stage = self.search
        elif run_id in self.zero_shot:
            stage = self.zero_shot_outputs
        return stage / f"{run_id}-s{seed}"

    def trained(self, run_id: str, seed: int) -> Path:
        """What its training wrote: weights, history.csv, training.json.

        A folder that DVC takes as a whole.
        """
        return self.output(run_id, seed) / "training"

    def record(self, run_id: str, seed: int) -> Path:
        return self.results / f"{run_id}-s{seed}.json"

    def kept_record(self, run_id: str, seed: int) -> Path:
        """A copy of the record, which DVC does not know and so does not remove."""
        return self.output(run_id, seed) / "record.json"

    # ---- Environments ------------------------------------------------------------------------

    @property
    def search_environments(self) -> Path:
        """Beside the search's own folder, which DVC takes as a whole."""
        return self._outputs / "search-environments"

    def search_environment(self, run_id: str, seed: int) -> Path:
        return self.search_environments / f"{run_id}-s{seed}.json"

    def environment(self, run_id: str, seed: int) -> Path:
        """What varies by nature between two makings of the record (environments.py)."""
        if run_id in self.searched:
            return self.search_environment(run_id, seed)
        return self._outputs / f"{run_id}-s{seed}" / ENVIRONMENT

    @property
    def environments(self) -> dict[str, Path]:
        """Those at hand, by the record's name."""
        of_runs = {path.parent.name: path for path in self._outputs.glob(f"*/{ENVIRONMENT}")}
        searched = {path.stem: path for path in self.search_environments.glob("*.json")}
        return of_runs | searched

    # ---- What the runs are compared with -----------------------------------------------------

    @property
    def reported(self) -> Path:
        """Printed numbers, or those of a reference training."""
        return self.folder / "reported.csv"


def kept_answers(name: str) -> Path:
    """Of the own data set of a name."""
    return OWN_TABLES / f"{name}-answers.csv"


def read_layout(settings: str | os.PathLike) -> Layout:
    """The layout of a pipeline by its params.yaml, a path relative to the repository's root."""
    return Layout(Path(settings), load_pipeline(Path(settings)))


def read_layouts(settings: str | os.PathLike) -> list[Layout]:
    """That pipeline's, and where it is a study's page alone, those of the folders below, too."""
    first = read_layout(settings)
    is_study = (first.folder / "study.yaml").is_file()
    if not is_study or first.settings.parent != first.folder:
        return [first]
    below = sorted(first.folder.glob("*/params.yaml"))
    return [first, *(read_layout(path) for path in below)]
