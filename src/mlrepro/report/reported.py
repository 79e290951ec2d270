"""Reported numbers: what a study prints (reported.csv, long format), what its study.yaml says of that. No torch."""

import csv
import re
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import Field, ValidationError

from mlrepro.config import HEAD_OPTIONS, Head, LossSettings, Strict, load, nearest
from mlrepro.errors import InputError

HEADS = list(get_args(Head))
LOSSES = [name for settings in get_args(get_args(LossSettings)[0]) for name in get_args(settings.model_fields["name"].annotation)]
DATA_SETS = "voc2007 voc2012 coco2014 coco2017 nuswide vg500 openimages_v6 cub mirflickr25k comp5329 comp5329_1000".split()
ANGULAR_HEADS = [head for head, options in HEAD_OPTIONS.items() if "angular" in options]
ID_FORM = "<head>-<loss>-<backbone>-<data set>[-single]-<size>[-<variant>]"
NUMBER = re.compile(r"-?\d+(\.\d+)?")
PRINTED = re.compile(r"[~+]?(-?\d+(?:\.\d+)?)(?:±(\d+(?:\.\d+)?))?(?:s|M|MB)?")


class RunId(Strict):
    """The parts of a run id. `size`: pixels a side, none for captions alone; `labels`: full or single (one observed positive a
    picture)."""

    head: str
    loss: str
    backbone: str
    data_set: str
    labels: Literal["full", "single"]
    size: int | None
    variant: str | None


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
    resolution: int | None  # pixels a side, none where it is not printed
    metric: str = Field(min_length=1)
    printed: str = Field(min_length=1)
    number: float
    std: float | None
    convention: Literal["", "macs", "flops", "unknown", "exact", "interpolated", "11-point", "per-sample", "threshold 0.4"]
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

    @property
    def document(self) -> str:
        return re.split(r",| via ", self.source)[0]


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
        named = {part: getattr(self, part) for part in ("head", "loss", "backbone", "data_set")}
        return (all(value in (None, getattr(run, part)) for part, value in named.items())
                and (run.variant or "").startswith(self.variant or ""))


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
    gflops_of: dict[str, str] = {}  # run -> the run id of the network whose GFLOPs the paper prints beside that run's mAP
    plain_network: bool = False  # the printed parameters and file sizes are those of the plain ImageNet network
    training: Training | None = None
    needs: Needs = Needs()
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
        return sorted({row.run for row in self.rows if row.run}.union(*(sweep.runs for sweep in self.text.sweeps)))

    @property
    def models(self) -> list[str]:
        """Run ids whose networks have a cost to be measured."""
        return [run for run in sorted({*self.runs, *self.text.gflops_of.values()}) if parse_run_id(run).size]


AnyRule = TypeVar("AnyRule", bound=Rule)


def last_match(rules: list[AnyRule], run: RunId) -> AnyRule | None:
    return next((rule for rule in reversed(rules) if rule.matches(run)), None)


def head_options(text: StudyText, run: RunId) -> dict[str, bool | int | float | str]:
    """Options of `models.heads.create_head` for a run: what study.yaml says, and cosines for the angular losses."""
    options = {"angular": True} if run.loss == "aam" and run.head in ANGULAR_HEADS else {}
    for rule in text.models:
        if rule.matches(run):
            options |= rule.options
    return options


def parse_run_id(run: str) -> RunId:
    """Splits a run id at its dashes. Raises ValueError with a remedy; an id holds letters, digits, `_` and `-` only."""
    if not re.fullmatch(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*", run):
        raise ValueError(f"run id {run!r} may hold only letters, digits, '_', and '-' between parts; write {ID_FORM}")
    parts = run.split("-")
    labels = parts.pop(4) if len(parts) > 4 and not parts[4].isdigit() else "full"
    sized = len(parts) in (5, 6) and parts[4].isdigit()
    if not (sized or len(parts) == 4 and parts[0] == "linear") or labels not in ("full", "single"):
        raise ValueError(f"run id {run!r} is not of the form {ID_FORM}")
    for name, valid, part in ((parts[0], HEADS, "head"), (parts[1], LOSSES, "loss"), (parts[3], DATA_SETS, "data set")):
        if name not in valid:
            raise ValueError(f"run id {run!r}: unknown {part} {name!r}; {nearest(name, valid)}")
    return RunId(head=parts[0], loss=parts[1], backbone=parts[2], data_set=parts[3], labels=labels,
                 size=int(parts[4]) if sized else None, variant=parts[5] if len(parts) == 6 else None)


def _check_number(row: dict[str, str]) -> None:
    for key in ("number", "std"):
        if "," in row[key]:
            raise ValueError(f"{key} {row[key]!r} holds a comma; write a decimal point and no thousands separator")
        if row[key] and not NUMBER.fullmatch(row[key]):
            raise ValueError(f"{key} {row[key]!r} is not a plain decimal number; write digits and a decimal point")
    if not row["number"]:
        raise ValueError("number is empty; leave out cells that the paper leaves out, the row with them")
    printed = PRINTED.fullmatch(row["printed"])
    if printed and (float(printed[1]) != float(row["number"]) or (printed[2] or "") != row["std"]):
        raise ValueError(f"number {row['number']!r} (std {row['std']!r}) is not what is printed, {row['printed']!r}; "
                         "copy it again from the paper")


def _check_run(row: ReportedRow) -> None:
    if not row.run:
        if not row.note:
            raise ValueError("no run and no note; name the run, or say in `note` why no run of ours can give this")
        return
    run = parse_run_id(row.run)
    if run.data_set != row.data_set:
        raise ValueError(f"run id {row.run!r} is of data set {run.data_set!r}, the row of {row.data_set!r}; mend one")
    if row.resolution not in (None, run.size):
        raise ValueError(f"run id {row.run!r} is of size {run.size}, the row of {row.resolution}; mend one")


def _read_row(values: dict[str, Any]) -> ReportedRow:
    """One CSV line to a row. Raises ValueError with a remedy."""
    if None in values or None in values.values():
        raise ValueError(f"needs {len(ReportedRow.model_fields)} fields; quote texts that hold a comma")
    if not values["source"]:
        raise ValueError('source is empty; write the document and table, e.g. "002, Table 2"')
    _check_number(values)
    try:
        row = ReportedRow.model_validate({**values, "resolution": values["resolution"] or None,
                                          "std": values["std"] or None})
    except ValidationError as error:
        first = error.errors()[0]
        key, expected = first["loc"][0], re.findall(r"'([^']*)'", first.get("ctx", {}).get("expected", ""))
        remedy = nearest(str(first["input"]), expected) if expected else first["msg"]
        raise ValueError(f"{key} {first['input']!r} is not valid; {remedy}") from None
    _check_run(row)
    return row


def _check_columns(path: Path, columns: list[str]) -> None:
    valid = list(ReportedRow.model_fields)
    for column in columns:
        if column not in valid:
            raise InputError(f"{path}:1: unknown column {column!r}; {nearest(column, valid)}")
    if columns != valid:
        raise InputError(f"{path}:1: columns must be exactly {','.join(valid)}")


def load_reported(path: Path) -> list[ReportedRow]:
    """Reads a reported.csv, rows in the file's order. Raises InputError that names file, line and remedy."""
    rows, cells, runs, labels = [], {}, {}, {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, list(reader.fieldnames or []))
            for values in reader:
                line = reader.line_num
                row = _read_row(values)
                place = row.cell[:-1]  # all its metrics come from one run
                if cells.setdefault(row.cell, line) != line:
                    raise ValueError(f"the cell {row.cell} stands in line {cells[row.cell]} too; delete one of them")
                if runs.setdefault(place, row.run) != row.run:
                    raise ValueError(f"row {row.row!r} names two runs, {runs[place]!r} and {row.run!r}; keep one")
                if row.run and labels.setdefault((row.table, row.run), place) != place:
                    raise ValueError(f"run {row.run!r} stands in two rows of table {row.table}, {row.row!r} and "
                                     f"{labels[row.table, row.run][1]!r}; give one of them a variant")
                rows.append(row)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a study's numbers stand in its reported.csv") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    except (ValueError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}:{reader.line_num}: {error}") from None
    return rows


def load_study(folder: Path) -> Study:
    """Reads studies/<name>/{study.yaml, reported.csv}. That the two agree is tested (tests/report/study_checks.py)."""
    folder = Path(folder)
    return Study(name=folder.name, text=load(StudyText, folder / "study.yaml"), rows=load_reported(folder / "reported.csv"))
