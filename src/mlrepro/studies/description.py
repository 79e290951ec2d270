"""A study.yaml: what a study says of its source document beside the printed numbers.

Its rules say something of many runs at once, by parts of their ids.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from mlrepro.models.heads.catalogue import HEADS
from mlrepro.settings.base import Strict
from mlrepro.settings.run_id import RunId, checked_run_id

RunName = Annotated[str, AfterValidator(checked_run_id)]
HeadOptions = dict[str, bool | int | float | str]


# ---- What is printed, what we do otherwise, what does not add up --------------------------------


class Table(Strict):
    """A printed table, or numbers collected under a name of ours. Counted against reported.csv."""

    id: str
    title: str
    source: str
    rows: int = Field(ge=1)
    """Distinct (row, backbone, resolution)."""
    columns: list[str]
    """Metrics in the printed order."""
    data_sets: list[str]


class Deviation(Strict):
    """Where this project does other than the document, knowingly."""

    id: int
    text: str


class KnownFinding(Strict):
    """What does not add up in the document."""

    id: int
    tables: list[str]
    claim: str
    calculation: str
    verdict: Literal["contradiction", "copied", "mislabelled", "doubtful", "missing"]
    check: str | None = None
    """The function of `studies.checks` that finds it; none: it follows from reading."""


# ---- Rules --------------------------------------------------------------------------------------


class Rule(Strict):
    """Says something of the runs that agree with every part it names.

    A variant agrees when it begins so. Of several rules that match a run, the later ones win.
    """

    head: str | None = None
    loss: str | None = None
    backbone: str | None = None
    data_set: str | None = None
    variant: str | None = None

    def matches(self, run: RunId) -> bool:
        return (
            self.head in (None, run.head)
            and self.loss in (None, run.loss)
            and self.backbone in (None, run.backbone)
            and self.data_set in (None, run.data)
            and (run.variant or "").startswith(self.variant or "")
        )


AnyRule = TypeVar("AnyRule", bound=Rule)


def last_match(rules: Sequence[AnyRule], run: RunId) -> AnyRule | None:
    """The rule that holds for a run, none where none matches it."""
    for rule in reversed(rules):
        if rule.matches(run):
            return rule
    return None


class ModelRule(Rule):
    """Options of the head that a run id cannot say."""

    options: HeadOptions


class ToolRule(Rule):
    """The tool whose count of MACs the document prints as GFLOPs: a key of complexity.json."""

    tool: Literal["gmacs", "ptflops", "fvcore", "fvcore_kkd"]


class Schedule(Rule):
    """How long runs are trained."""

    epochs: int | None
    """None where the source does not say."""
    passes: int = 1
    """Forward and backward passes a step (sharpness-aware minimisation: 2)."""
    pictures: int | None = None
    """Where these runs train on another number of pictures than `Training.pictures`."""
    source: str


class WeightsRule(Rule):
    """What runs start from."""

    weights: str


# ---- What a run takes ---------------------------------------------------------------------------


class Training(Strict):
    """Training pictures by data set, held-out ones left out, and schedules."""

    pictures: dict[str, int]
    source: str
    schedules: list[Schedule]


class DataNeed(Strict):
    """A data set that must be there."""

    set: str | None = None
    """Its name in data/params.yaml, none where it is not described there."""
    gigabytes: float | None = None
    """Of its archives, about."""
    text: str = ""


class Needs(Strict):
    """What a reader must get before a run can start."""

    data: dict[str, DataNeed] = {}
    weights: list[WeightsRule] = []


class Sweep(Strict):
    """Runs that differ in one setting, by series; most of them no table prints."""

    id: str
    title: str
    text: str
    setting: str = Field(pattern=r"^\w+(\.\w+)*$")
    """Its dotted name in a run file."""
    series: dict[str, list[RunName]]

    @property
    def runs(self) -> list[str]:
        """Each once, in the order of the series."""
        runs = []
        for series in self.series.values():
            runs += series
        return list(dict.fromkeys(runs))


# ---- The file -----------------------------------------------------------------------------------


class Description(Strict):
    """A whole study.yaml."""

    title: str
    authors: list[str]
    year: int | None
    """None where the document does not print it."""
    link: str
    document: str
    """What the study's texts call the document."""
    summary: str

    tables: list[Table]
    figure: list[str] = []
    """The tables whose mAP is drawn against GMACs."""

    models: list[ModelRule] = []
    gflops_tool: list[ToolRule] = []
    gflops_of: dict[RunName, RunName] = {}
    """By run the run id of the network whose GFLOPs are printed beside that run's mAP."""
    plain_network: bool = False
    """Whether printed parameters and file sizes are those of the plain ImageNet network."""

    training: Training
    needs: Needs
    sweeps: list[Sweep] = []
    deviations: list[Deviation]
    findings: list[KnownFinding]


def head_options(description: Description, run: RunId) -> HeadOptions:
    """Options of `models.heads.create_head` for a run.

    Cosines for the angular losses, and what study.yaml says, which comes last.
    """
    options: HeadOptions = {}
    head = HEADS.get(run.head)
    if run.loss == "aam" and head and "angular" in head.options:
        options["angular"] = True

    for rule in description.models:
        if rule.matches(run):
            options |= rule.options
    return options
