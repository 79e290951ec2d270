"""What a study's page is made of: printed rows with our records of their runs, costs, and what a run would take. No torch."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.judging import Status, judge
from mlrepro.records import Failures, Record, read_failures, read_records
from mlrepro.report.figures import Point
from mlrepro.report.tables import GROUPED, Runs, mean, metric_values, standard_error
from mlrepro.settings.base import nearest
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import ReportedRow, Study, last_match, load_study

THROUGHPUT = 100e12  # FLOP/s of training on one H200-class card in bf16: an estimate, a tenth of the peak that its maker states
BACKWARD = 3  # a training pass costs its forward pass and about twice that again
# Printed metric -> its name in a record, where it is in percent, and how much of the printed unit one percent is.
METRICS = {
    "mAP": ("mAP", 1.0),
    "OF1_adapt": ("tuned_OF1", 1.0),
    "CF1_adapt": ("tuned_CF1", 1.0),
    **{top + m: (top + m, 1.0) for top in ("", "top3_") for m in GROUPED},
    "f1": ("micro_F1", 0.01),
    "accuracy": ("label_accuracy", 0.01),
    **{f"f1@0.{i}": (f"micro_F1_at_0.{i}", 0.01) for i in range(1, 6)},
    "micro_f1": ("micro_F1", 0.01),
    "micro_precision": ("OP", 0.01),
    "micro_recall": ("OR", 0.01),
    "macro_f1": ("macro_F1", 0.01),
    "macro_precision": ("CP", 0.01),
    "macro_recall": ("CR", 0.01),
    "samples_iou": ("sample_IoU", 0.01),
    "samples_precision": ("sample_precision", 0.01),
    "samples_recall": ("sample_recall", 0.01),
    "samples_f1": ("sample_F1", 0.01),
}
METRICS |= {
    f"train_{printed}": (f"train_{name}", unit)
    for printed, (name, unit) in METRICS.items()
    if unit == 0.01
}
METRICS |= {"loss": ("val_loss", 1.0), "train_loss": ("train_loss", 1.0)}
JUDGED = (
    "mAP",
    "f1",
    "micro_f1",
    "samples_iou",
    "OF1",
    "accuracy",
)  # the first that a row prints gives its status
KINDS = {
    ("mAP", "interpolated"): "mAP_interpolated",
    ("mAP", "11-point"): "mAP_11point",  # where the convention says more
    ("f1", "threshold 0.4"): "micro_F1_at_0.4",
    ("CF1", "per-sample"): "sample_F1",
    ("CF1_adapt", "per-sample"): "tuned_sample_F1",
}


@dataclass(frozen=True)
class Result:
    """One printed row on one data set, and our records of its run. `metric`: the printed metric that is judged."""

    cells: dict[str, ReportedRow]
    records: list[Record]
    metric: str | None
    status: Status | None  # none: the row prints nothing that a record holds

    @property
    def row(self) -> ReportedRow:
        return next(iter(self.cells.values()))


@dataclass(frozen=True)
class StudyResults:
    """All that a page is made of. `results` by table id; `complexity` by run id, empty until the stage has run."""

    folder: Path
    study: Study
    results: dict[str, list[Result]]
    records: Runs
    complexity: dict[str, dict]
    stages: dict[str, list[str]]  # run -> the DVC stages that give its records
    seeds: list[int]
    failures: Failures

    @property
    def all(self) -> list[Result]:
        return list(chain(*self.results.values()))

    @property
    def statuses(self) -> Counter:
        return Counter(result.status for result in self.all if result.status)

    def cost(self, run: str, key: str) -> float | None:
        return self.complexity.get(run, {}).get(key)

    def printed_way(self, run: str) -> float | None:
        """GFLOPs as the paper's tool counts the network whose GFLOPs it prints for this run; none without a known tool."""
        network = self.study.text.gflops_of.get(run, run)
        rule = last_match(self.study.text.gflops_tool, parse_run_id(network))
        return self.cost(network, rule.tool) if rule else None

    @property
    def gflops_gaps(self) -> list[float]:
        """Counted the paper's way minus printed, for every different printed number of a run."""
        printed = {
            (cell.run, cell.number)
            for cell in self.study.rows
            if cell.metric == "GFLOPs" and cell.run
        }
        counted = [(self.printed_way(run), value) for run, value in sorted(printed)]
        return [way - value for way, value in counted if way is not None]


def read_study(folder: Path) -> StudyResults:
    """A study's numbers, records and costs. Raises InputError where they do not fit together."""
    study, seeds = load_study(folder), load_pipeline(folder / "params.yaml").seeds
    records = _read_records(folder / "results", study)
    failures = dict(
        chain(
            *(
                read_failures(data_set).items()
                for data_set in sorted((folder / "results").glob("*"))
            )
        )
    )
    results: dict[str, list[Result]] = {}
    for listed in study.text.tables:
        groups: dict[tuple, dict[str, ReportedRow]] = {}
        for row in (row for row in study.rows if row.table == listed.id):
            groups.setdefault(row.cell[:-1], {})[row.metric] = row
        results[listed.id] = [
            _result(cells, records, len(seeds), failures) for cells in groups.values()
        ]
    return StudyResults(
        folder,
        study,
        results,
        records,
        _read_complexity(folder / "complexity.json"),
        _stages(folder),
        seeds,
        failures,
    )


def _stages(folder: Path) -> dict[str, list[str]]:
    """A study is one pipeline, or has one a data set in folders below it."""
    stages = {}
    for settings in sorted([*folder.glob("params.yaml"), *folder.glob("*/params.yaml")]):
        pipeline, dvc_file = load_pipeline(settings), settings.with_name("dvc.yaml").as_posix()
        if pipeline.search:
            stages |= {run.run_id: [f"{dvc_file}:search"] for run, _ in pipeline.grid()}
        stages |= {
            run: [f"{dvc_file}:evaluate@{run}-{seed}" for seed in pipeline.seeds]
            for run in pipeline.runs
        }
    return stages


def _read_records(folder: Path, study: Study) -> Runs:
    records: Runs = {}
    valid = study.runs
    for data_set in sorted(folder.glob("*")):
        for run, group in read_records(data_set).items():
            if run not in valid:
                raise InputError(
                    f"{data_set}: holds records of {run}, which no row of reported.csv names; {nearest(run, valid)}"
                )
            if run in records:
                raise InputError(
                    f"{data_set}: holds records of {run}, and so does another folder beside it; move one away"
                )
            records[run] = group
    return records


def _read_complexity(path: Path) -> dict[str, dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else {}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not what stages/complexity.py writes ({error!r}); run that stage again"
        ) from None


def _result(cells: dict[str, ReportedRow], records: Runs, seeds: int, failures: Failures) -> Result:
    metric, run = (
        next((name for name in JUDGED if name in cells), None),
        next(iter(cells.values())).run,
    )
    if not run:
        return Result(cells, [], metric, "not-comparable")
    if not metric:
        return Result(cells, [], None, None)
    group, cell = records.get(run, []), cells[metric]
    name, unit = record_metric(cell)
    comparable = all(name in record.selected.metrics for record in group)
    status = judge(
        group,
        cell.number / unit,
        seeds=seeds,
        metric=name,
        comparable=comparable,
        failed=run in failures,
        reported_std=cell.std and cell.std / unit,
    )
    return Result(cells, group, metric, status)


def record_metric(cell: ReportedRow) -> tuple[str, float]:
    """The metric's name in a record, and how much of the printed unit one percent is."""
    name, unit = METRICS[cell.metric]
    return KINDS.get((cell.metric, cell.convention), name), unit


def gpu_hours(results: StudyResults, run: str) -> float | None:
    """3 x MACs x 2 x pictures x epochs x passes / THROUGHPUT of one training; extracted features or 0 epochs: one forward pass.
    None where the cost is not measured or the source states no epochs."""
    parsed, training, gmacs = (
        parse_run_id(run),
        results.study.text.training,
        results.cost(run, "gmacs"),
    )
    schedule = last_match(training.schedules, parsed)
    pictures = schedule and (schedule.pictures or training.pictures.get(parsed.data))
    if not gmacs or not pictures or schedule.epochs is None:
        return None
    passes = (
        1
        if parsed.head == "linear" or not schedule.epochs
        else BACKWARD * schedule.epochs * schedule.passes
    )
    return passes * gmacs * 2e9 * pictures / THROUGHPUT / 3600


def cost_points(results: StudyResults) -> dict[str, list[Point]]:
    """Points of the figure by data set, one a run (the first row that prints it). Data sets with fewer than three different
    costs are left out."""
    panels: dict[str, dict[str, Point]] = {}
    for result in chain(*(results.results[listed] for listed in results.study.text.figure)):
        row, gmacs = result.row, results.cost(result.row.run, "gmacs")
        if gmacs and result.metric == "mAP":
            name = " ".join(
                str(part) for part in (row.row.split(" [")[0], row.backbone, row.resolution) if part
            )
            reproduced = mean(metric_values(result.records, record_metric(result.cells["mAP"])[0]))
            error = standard_error(result.records) if result.records else 0.0
            panels.setdefault(row.data_set, {}).setdefault(
                row.run,
                Point(
                    name,
                    parse_run_id(row.run).head,
                    gmacs,
                    result.cells["mAP"].number,
                    reproduced,
                    error,
                ),
            )
    return {
        data_set: list(points.values())
        for data_set, points in panels.items()
        if len({f"{point.gmacs:.1f}" for point in points.values()}) > 2
    }
