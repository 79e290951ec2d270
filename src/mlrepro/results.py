"""The result record (one JSON a run and seed, kept in git) and the rule that judges it against a reported number."""

import json
import math
import statistics
import subprocess
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from mlrepro.config import Run
from mlrepro.config_data import Strict
from mlrepro.errors import InputError

Status = Literal["not-run", "failed", "partial", "reproduced", "exceeds", "below", "not-comparable"]
MINIMUM_TOLERANCE = 0.5  # mAP points; the smallest difference that a re-run of the same code shows (design, section 4)


class ClassResult(Strict):
    """One label: positives by split, observed positives of the training rows, AP on the test split (fraction, or none)."""

    name: str
    train: int
    observed: int
    test: int
    AP: float | None
    balanced: float | None = (
        None  # positives expected of as many class-uniform draws as there are training pictures
    )
    weight: float | None = None  # of a positive in `bce_weighted`
    confusion: tuple[int, int, int, int] | None = (
        None  # tn, fp, fn, tp of the test decisions at probability 0.5
    )


class Measurement(Strict):
    """One selection of weights, scored on test. Metrics in percent, also its Epoch's; `mAP_se`: SE from resampled pictures."""

    epoch: int  # from 0; -1: a checkpoint as it was loaded
    weights: Literal["plain", "ema"] = "plain"
    metrics: dict[str, float | None]
    mAP_se: float
    predicted_positives: float | None = None  # mean sum of a test picture's probabilities
    per_class: list[ClassResult]


class Epoch(Strict):
    epoch: int
    lr: float
    train_loss: float
    val_mAP: float
    val_positives: float | None = None  # mean sum of a validation picture's probabilities
    estimate_mAP: float | None = (
        None  # of ROLE's estimated labels against all true labels of the training pictures
    )
    estimate_positives: float | None = None  # mean sum of a training picture's estimated labels
    val_mAP_ema: float | None = None  # of the averaged weights
    test_mAP: float | None = None  # with `select_on_test` only
    test_mAP_ema: float | None = None
    metrics: dict[
        str, float
    ] = {}  # of a run with `epoch_metrics`: train_<metric> and val_<metric> in percent, val_loss


class Counts(Strict):
    """Pictures of one split: annotated, and trained on or scored (readable, and where the protocol is `released` in whole
    batches); mean labels a picture."""

    expected: int
    used: int
    cardinality: float


class Provenance(Strict):
    commit: str
    dirty: bool
    settings_sha256: str
    manifest_sha256: str
    pretrained: str  # where the weights came from
    pretrained_sha256: str | None
    weights_sha256: dict[str, str]  # of the produced files, by selection
    captions_sha256: str | None = None  # of the text model's weights
    mlflow_run_id: str | None
    torch_seed: int | None = None  # what torch was seeded with; the released protocol draws it


class Environment(Strict):
    python: str
    versions: dict[str, str]
    device: str
    precision: str
    threads: int
    train_seconds: float
    images_per_second: (
        float  # of training, all epochs; of a run with `epochs: 0`, of scoring the test split
    )
    forward_per_second: float | None = (
        None  # of own data: pictures, of the whole network's forward pass, decoded before
    )
    peak_memory_mib: float


class Cost(Strict):
    """Of one picture at the run's resolution, backbone and head. GFLOPs = 2 x GMACs. Parameters: of the whole model."""

    parameters: int
    trainable_parameters: int
    gmacs: float
    gflops: float


class Record(Strict):
    """What one run with one seed gave. `measurements` holds both the best epoch on validation and the last one, and
    with `select_on_test` the best on test (on_test), which is never `selected`."""

    version: Literal[1] = 1
    study: str
    data_set: str  # as the reader knows it; `run.data` is its name in the run id
    run: Run
    seed: int
    splits: dict[str, Counts]
    measurements: dict[Literal["best", "last", "on_test"], Measurement]
    history: list[Epoch]
    provenance: Provenance
    environment: Environment
    cost: Cost

    @property
    def selected(self) -> Measurement:
        return self.measurements[self.run.selection]

    @property
    def complete(self) -> bool:
        """All epochs trained, or stopped as the run says, and every annotated test picture scored that its protocol scores."""
        trained = (
            len(self.history) == self.run.epochs
            or self.run.stop_below is not None
            or self.run.early_stop is not None
        )
        return trained and self.splits["test"].used == self.run.scored(self.splits["test"].expected)


class Failure(Strict):
    """Why the last launch has no record of a run and seed: the stage that failed, where, and the file of what it printed."""

    stage: str
    error: str
    host: str
    log: str


Failures = dict[str, dict[int, Failure]]  # by run id and seed


def write_record(record: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".failed").unlink(missing_ok=True)


def write_failure(failure: Failure, path: Path) -> None:
    """Beside the record `path` that is missing; the record's own writing removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".failed").write_text(
        failure.model_dump_json(indent=1) + "\n", encoding="utf-8"
    )


def read_failures(folder: Path) -> Failures:
    """Those of a folder's runs and seeds without a record."""
    failures: Failures = {}
    for path in sorted(folder.glob("*.failed")):
        run_id, _, seed = path.stem.rpartition("-s")
        if not path.with_suffix(".json").exists():
            failures.setdefault(run_id, {})[int(seed)] = Failure.model_validate_json(
                path.read_text(encoding="utf-8")
            )
    return failures


def read_record(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such record; run its evaluate stage, or the search stage that gives it"
        ) from None
    except (ValidationError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: not a result record; run its evaluate stage again: {error}"
        ) from None


def read_records(folder: Path) -> dict[str, list[Record]]:
    """All records of a folder by run id, each run's sorted by seed. Unreadable files are errors, absent ones are not."""
    records: dict[str, list[Record]] = {}
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if path.stem != f"{record.run.run_id}-s{record.seed}":
            raise InputError(
                f"{path}: holds {record.run.run_id} seed {record.seed}; rename it or run evaluate again"
            )
        records.setdefault(record.run.run_id, []).append(record)
    return {run: sorted(group, key=lambda r: r.seed) for run, group in records.items()}


def git_state() -> tuple[str, bool]:
    """The commit, and whether code differs from it (settings have their own digests); ("unknown", True) outside git."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "src", "stages"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return commit, bool(changed)


def mean_and_std(values: list[float]) -> tuple[float, float | None]:
    """Mean, and sample standard deviation (n - 1), none for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def tolerance(
    values: list[float],
    standard_error: float,
    reported_std: float | None = None,
    minimum: float = MINIMUM_TOLERANCE,
) -> float:
    """max(minimum, 2 sqrt(s^2/n + SE^2), reported std) in mAP points: s over seeds, SE from resampled test pictures."""
    _, std = mean_and_std(values)
    spread = 2 * math.sqrt((std or 0.0) ** 2 / len(values) + standard_error**2)
    return max(minimum, spread, reported_std or 0.0)


def judge(
    records: list[Record],
    reported: float | None,
    *,
    seeds: int,
    metric: str = "mAP",
    failed: bool = False,
    comparable: bool = True,
    reported_std: float | None = None,
    minimum: float = MINIMUM_TOLERANCE,
) -> Status:
    """The status of one reported number (in percent) given this project's records of the run that should give it."""
    if not records:
        return "failed" if failed else "not-run"
    if not comparable or reported is None:
        return "not-comparable"
    if len(records) < seeds or not all(record.complete for record in records):
        return "partial"
    values = [record.selected.metrics[metric] for record in records]
    if any(value is None for value in values):
        return "failed"
    error = statistics.fmean(record.selected.mAP_se for record in records)
    delta = statistics.fmean(values) - reported
    if abs(delta) <= tolerance(values, error, reported_std, minimum):
        return "reproduced"
    return "exceeds" if delta > 0 else "below"
