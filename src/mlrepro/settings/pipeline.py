"""A params.yaml: which data sets there are, and which runs and seeds a pipeline trains on one."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from mlrepro.errors import InputError
from mlrepro.metrics.catalogue import all_metrics
from mlrepro.models.catalogue import EMBEDDING
from mlrepro.settings.base import NOT_EMPTY, Seed, Strict, file_name, load, nearest
from mlrepro.settings.data import Captions, Corruption, DataSettings, Features
from mlrepro.settings.losses import FULL_LABEL_LOSSES, PROMPT, LossSettings
from mlrepro.settings.run import Run

# Of a run that takes no step: the least that a run may say.
WITHOUT_BATCHES = 2

# How many runs own data trains beyond the search.
RUNS_OF_BUDGET = {"quick": 0, "standard": 4, "thorough": 9}


def data_set_name(name: str) -> str:
    """The name of a data set. Raises ValueError for what is no folder's and no word of commands."""
    if re.search(r"[^\w.-]", name) or name.startswith("-"):
        raise ValueError(
            f"{name!r} is not the name of a data set: give letters, digits, '_' and '-' "
            "(it names a folder below data/)"
        )
    return file_name(name)


# Of a data set: names its folder, its records and its page, and is a word of commands.
Name = Annotated[str, AfterValidator(data_set_name)]


class Search(Strict):
    """The grid of the linear mode on the pipeline's features, trained together (training/grid).

    penalties: of the ridge regressions, one of which is fitted on each backbone's features; none:
    there is no ridge.
    """

    penalties: list[PositiveFloat] = []
    losses: Annotated[list[LossSettings], NOT_EMPTY]
    learning_rates: Annotated[list[PositiveFloat], NOT_EMPTY] = [1e-2, 1e-3, 1e-4, 1e-5]
    batch_sizes: Annotated[list[Annotated[int, Field(ge=2)]], NOT_EMPTY] = [8, 16]
    epochs: int = Field(25, ge=1)
    seeds: Annotated[list[Seed], NOT_EMPTY] = [0]


class ZeroShot(Strict):
    """Scores from the labels' names, without any training (training/zero_shot.py).

    backbone, resolution: of the pipeline's features that hold the image tower's embedding.
    text, prompts: see settings.losses.ZeroShot.
    """

    backbone: str
    resolution: int
    text: str
    prompts: list[str] = [PROMPT]


class Ordering(Strict):
    """What a paper claims, as pairs of runs here: the first of each should have the higher mAP."""

    claim: str
    pairs: list[tuple[str, str]] = Field(min_length=1)

    @property
    def runs(self) -> set[str]:
        return {run for pair in self.pairs for run in pair}


class Claim(Strict):
    """What a paper says in words of one change of a run, or a question that nobody has answered.

    claim:    in its words, or shorter. source: where it says so.
    expected: by metric of a record (metrics/catalogue.py) how many points the first run of a pair
              is said to be above the second, `above` or `below` where no number is said, `open`
              where nothing is said.
    pairs:    runs with and without what is claimed, of this pipeline or of another of its study.
    """

    claim: str
    source: str
    expected: dict[str, float | Literal["above", "below", "open"]] = Field(min_length=1)
    pairs: list[tuple[str, str]] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_metrics(self) -> "Claim":
        known = [metric.key for metric in all_metrics()]
        for metric in self.expected:
            if metric not in known:
                raise ValueError(f"expected: no record holds {metric!r}; {nearest(metric, known)}")
        return self

    def rises(self, metric: str) -> bool | None:
        """Whether the first run of a pair is said to be above the second; none of a question."""
        expected = self.expected[metric]
        if expected == "open":
            return None
        return expected == "above" if isinstance(expected, str) else expected > 0


class Pipeline(Strict):
    """A params.yaml. A pipeline of data sets alone, or of a study's page alone, has no runs."""

    name: Name = "demo"
    """Of the data set that the pipeline's runs use; names report and records in own-data."""
    title: str | None = None
    """Of the report."""
    intro: str | None = None
    """The report's first paragraph."""

    data: dict[Name, DataSettings]
    corruption: Corruption = Corruption()
    features: Features | None = None
    backbones: list[Features] = []
    """Further ones beside `features`, for the search's ridge regressions alone."""
    captions: Captions | None = None

    runs: list[str] = []
    seeds: Annotated[list[Seed], NOT_EMPTY] = [0]
    search: Search | None = None
    zero_shot: list[ZeroShot] = []
    """Of own data."""

    orderings: list[Ordering] = []
    """For the report."""
    claims: list[Claim] = []
    """For the report."""
    budget: Literal["quick", "standard", "thorough"] | None = None
    """Of own data: `mlrepro init-data` writes its runs."""
    checkpoint_pages: list[str] = []
    """Where a person finds the files that the runs name as `checkpoint`."""

    @model_validator(mode="after")
    def _consistent(self) -> "Pipeline":
        named = set().union(*(ordering.runs for ordering in self.orderings))
        unknown = named - set(self.runs)
        if unknown:
            name = min(unknown)
            raise ValueError(f"orderings: {name!r} is none of `runs`; {nearest(name, self.runs)}")

        if self.budget and len(self.runs) != RUNS_OF_BUDGET[self.budget]:
            raise ValueError(
                f"`budget: {self.budget}` has {RUNS_OF_BUDGET[self.budget]} `runs`, not "
                f"{len(self.runs)}; run `mlrepro init-data` with --budget {self.budget}, or remove "
                "`budget` to list runs of your own"
            )
        self.zero_shot_runs()  # which refuses what cannot be
        return self

    def grid(self) -> list[tuple[Run, int]]:
        """The members of the search: each a run with its learning rate and batch size, and a seed.

        Ridge regressions come first. In the order loss, seed, batch size, lr or penalty: a tie in
        validation mAP goes to the first.
        """
        members = []
        for features in [*self.backbones, self.features]:
            for penalty in self.search.penalties:
                members.append((self._ridge_run(features, penalty), self.search.seeds[0]))
        for loss in self.search.losses:
            for seed in self.search.seeds:
                for batch_size in self.search.batch_sizes:
                    for lr in self.search.learning_rates:
                        members.append((self._grid_run(loss, batch_size, lr), seed))
        return members

    def zero_shot_runs(self) -> dict[str, Run]:
        """Those of `zero_shot`, by run id. Raises ValueError where their features are not named."""
        extracted = [features for features in [*self.backbones, self.features] if features]
        by_name = {(features.backbone, features.resolution): features for features in extracted}

        runs = {}
        for entry in self.zero_shot:
            features = by_name.get((entry.backbone, entry.resolution))
            if features is None or not entry.backbone.endswith(EMBEDDING):
                raise ValueError(
                    f"zero_shot: {entry.backbone!r} at {entry.resolution} px must be one of "
                    f"`features` and `backbones`, and end with {EMBEDDING}"
                )

            run = self._zero_shot_run(entry, features)
            if run.run_id in runs:
                raise ValueError(f"zero_shot: {run.run_id} is there twice; join their `prompts`")
            runs[run.run_id] = run
        return runs

    def _zero_shot_run(self, entry: ZeroShot, features: Features) -> Run:
        return Run(
            loss={"name": "zero_shot", "text": entry.text, "prompts": entry.prompts},
            epochs=1,
            batch_size=WITHOUT_BATCHES,
            **self._linear_on(features),
        )

    def _grid_run(self, loss: LossSettings, batch_size: int, lr: float) -> Run:
        return Run(
            labels="full" if loss.name in FULL_LABEL_LOSSES else "single",
            loss=loss,
            optimizer={"lr": lr},
            epochs=self.search.epochs,
            batch_size=batch_size,
            **self._linear_on(self.features),
        )

    def _ridge_run(self, features: Features, penalty: float) -> Run:
        """All training pictures are one step: a batch size has no meaning."""
        return Run(
            loss={"name": "ridge", "penalty": penalty},
            epochs=1,
            batch_size=self.search.batch_sizes[0],
            **self._linear_on(features),
        )

    def _linear_on(self, features: Features) -> dict:
        """What a run of a linear layer says of its data and features."""
        return {
            "data": self.name,
            "inputs": "features",
            "head": "linear",
            "backbone": features.backbone,
            "weights": features.weights or "published",
            "resolution": features.resolution,
        }


def load_pipeline(path: Path) -> Pipeline:
    return load(Pipeline, path)


def load_data_settings(path: Path, name: str) -> DataSettings:
    """What `path`, a params.yaml, says of the data set `name`. Raises InputError if nothing."""
    data = load_pipeline(path).data
    if name not in data:
        raise InputError(f"{path}: data.{name} is not described; {nearest(name, list(data))}")
    return data[name]
