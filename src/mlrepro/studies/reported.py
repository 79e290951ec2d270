"""Reported numbers: what a study prints (reported.csv, long format), what its study.yaml says of that. No torch."""

import csv
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mlrepro.errors import InputError
from mlrepro.settings.base import Strict, load
from mlrepro.settings.run import HEAD_OPTIONS
from mlrepro.settings.run_id import RunId, parse_run_id

NONE_IF_EMPTY = BeforeValidator(lambda text: text or None)


class ReportedRow(Strict):
    """One printed number. `printed` is verbatim; `number` is the same in the metric's printed unit (mAP in percent, an
    F1 printed as a fraction stays one, times in seconds); `run` is empty where no run of ours can give it, and `note`
    says why; `convention` names what a GFLOPs number counts, which AP a mAP is, or that a CF1 is a mean over pictures,
    or at which probability an F1 is taken (none: 0.5)."""

    table: str = Field(min_length=1)
    row: str = Field(min_length=1)
    run: str
    data_set: str = Field(min_length=1)
    backbone: str
    resolution: Annotated[int | None, NONE_IF_EMPTY]  # pixels a side, none where it is not printed
    metric: str = Field(min_length=1)
    printed: str = Field(min_length=1)
    number: float
    std: Annotated[float | None, NONE_IF_EMPTY]
    convention: Literal[
        "",
        "macs",
        "flops",
        "unknown",
        "exact",
        "interpolated",
        "11-point",
        "per-sample",
        "threshold 0.4",
    ]
    source: str = Field(min_length=1)
    checked: Literal["yes", "memory", "third party"]
    note: str

    @property
    def label(self) -> tuple:
        """What makes a row of a table, whichever way round the paper prints it."""
        return self.row, self.backbone, self.resolution

    @property
    def cell(self) -> tuple:
        return self.table, self.row, self.data_set, self.backbone, self.resolution, self.metric


class Table(Strict):
    """`rows`: distinct (row, backbone, resolution); `columns`: metrics in the printed order."""

    id: str
    title: str
    source: str
    rows: int = Field(ge=1)
    columns: list[str]
    data_sets: list[str]


class Deviation(Strict):
    id: int
    text: str


class KnownFinding(Strict):
    """What does not add up. `check`: the function of tests/report/checks.py that finds it; none: it follows from the spec."""

    id: int
    tables: list[str]
    claim: str
    calculation: str
    verdict: Literal["contradiction", "copied", "mislabelled", "doubtful", "missing"]
    check: str | None = None


class Rule(Strict):
    """Says something of the runs that agree with every part it names; a variant agrees when it begins so. Of several rules
    that match a run, the later ones win."""

    head: str | None = None
    loss: str | None = None
    backbone: str | None = None
    data_set: str | None = None
    variant: str | None = None

    def matches(self, run: RunId) -> bool:
        parts = {
            "head": run.head,
            "loss": run.loss,
            "backbone": run.backbone,
            "data_set": run.data,
        }
        agrees = all(getattr(self, part) in (None, value) for part, value in parts.items())
        return agrees and (run.variant or "").startswith(self.variant or "")


class ModelRule(Rule):
    """`options` of the head that a run id cannot say."""

    options: dict[str, bool | int | float | str]


class ToolRule(Rule):
    """The tool whose count of MACs the study prints as GFLOPs: a key of complexity.json."""

    tool: Literal["gmacs", "ptflops", "fvcore", "fvcore_kkd"]


class Schedule(Rule):
    """`epochs`: none where the source does not say; `passes`: forward and backward passes a step (SAM: 2); `pictures`: where
    these runs train on another number of pictures than `Training.pictures`."""

    epochs: int | None
    passes: int = 1
    pictures: int | None = None
    source: str


class Training(Strict):
    """`pictures`: training pictures by data set, held-out ones left out."""

    pictures: dict[str, int]
    source: str
    schedules: list[Schedule]


class DataNeed(Strict):
    """`set`: its name in data/params.yaml, none where it is not described there; `gigabytes`: of its archives, about."""

    set: str | None = None
    gigabytes: float | None = None
    text: str = ""


class WeightsRule(Rule):
    weights: str


class Needs(Strict):
    """What a reader must get before a run can start."""

    data: dict[str, DataNeed] = {}
    weights: list[WeightsRule] = []


class Sweep(Strict):
    """Runs that differ in one `setting` (its dotted name in a run file), by series; most of them no table prints."""

    id: str
    title: str
    text: str
    setting: str
    series: dict[str, list[str]]

    @property
    def runs(self) -> list[str]:
        return list(dict.fromkeys(run for runs in self.series.values() for run in runs))


class StudyText(Strict):
    """A study.yaml. `document`: what its texts call the document; `figure`: the tables whose mAP is drawn against GMACs."""

    title: str
    authors: list[str]
    year: int | None  # none where the document does not print it
    link: str
    document: str
    summary: str
    tables: list[Table]
    figure: list[str] = []
    models: list[ModelRule] = []
    gflops_tool: list[ToolRule] = []
    gflops_of: dict[
        str, str
    ] = {}  # run -> the run id of the network whose GFLOPs the paper prints beside that run's mAP
    plain_network: bool = (
        False  # the printed parameters and file sizes are those of the plain ImageNet network
    )
    training: Training
    needs: Needs
    sweeps: list[Sweep] = []
    deviations: list[Deviation]
    findings: list[KnownFinding]


class Study(Strict):
    name: str
    text: StudyText
    rows: list[ReportedRow]

    @property
    def runs(self) -> list[str]:
        """Run ids of the printed rows and of the sweeps, sorted."""
        return sorted(
            {row.run for row in self.rows if row.run}.union(
                *(sweep.runs for sweep in self.text.sweeps)
            )
        )

    @property
    def models(self) -> list[str]:
        """Run ids whose networks have a cost to be measured."""
        return [
            run
            for run in sorted({*self.runs, *self.text.gflops_of.values()})
            if parse_run_id(run).resolution
        ]


def last_match(rules: list[Rule], run: RunId) -> Rule | None:
    return next((rule for rule in reversed(rules) if rule.matches(run)), None)


def head_options(text: StudyText, run: RunId) -> dict[str, bool | int | float | str]:
    """Options of `models.heads.create_head` for a run: what study.yaml says, and cosines for the angular losses."""
    options = (
        {"angular": True}
        if run.loss == "aam" and "angular" in HEAD_OPTIONS.get(run.head, ())
        else {}
    )
    for rule in text.models:
        if rule.matches(run):
            options |= rule.options
    return options


def load_reported(path: Path) -> list[ReportedRow]:
    """Reads a reported.csv, rows in the file's order. Raises InputError that names file, line and what is wrong there. That the
    rows agree with what they print and with each other is tested (tests/report/study_checks.py)."""
    rows = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            for values in reader:
                rows.append(ReportedRow.model_validate(values))
                if rows[-1].run:
                    parse_run_id(rows[-1].run)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; a study's numbers stand in its reported.csv"
        ) from None
    except (ValueError, csv.Error) as error:  # also what pydantic raises, which names the key
        raise InputError(f"{path}:{reader.line_num}: {error}") from None
    return rows


def load_study(folder: Path) -> Study:
    """Reads studies/<name>/{study.yaml, reported.csv}. That the two agree is tested (tests/report/study_checks.py)."""
    return Study(
        name=folder.name,
        text=load(StudyText, folder / "study.yaml"),
        rows=load_reported(folder / "reported.csv"),
    )
