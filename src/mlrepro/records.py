"""What a run leaves behind: the facts of its training, and the result record.

A record is one JSON a run and seed, kept in git. Here are the schema, reading and writing; what a
record is worth beside a printed number is judging.py's.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from mlrepro.errors import InputError
from mlrepro.settings.base import Strict
from mlrepro.settings.run import Run

Selection = Literal["best", "last", "on_test"]
Weights = Literal["plain", "ema"]


class ClassResult(Strict):
    """One label.

    train, test: positives by split. observed: positives that the training rows still show.
    AP:          on the test split, a fraction; none: undefined.
    balanced:    positives expected of as many class-uniform draws as there are training pictures.
    weight:      of a positive in `bce_weighted`.
    confusion:   tn, fp, fn, tp of the test decisions at probability 0.5.
    """

    name: str
    train: int
    observed: int
    test: int
    AP: float | None
    balanced: float | None = None
    weight: float | None = None
    confusion: tuple[int, int, int, int] | None = None


class Measurement(Strict):
    """One selection of weights, scored on test.

    epoch:   from 0; -1: a checkpoint as it was loaded.
    metrics: in percent, also those of its Epoch.
    mAP_se:  standard error from resampled test pictures, in points; none where there is no mAP.
    predicted_positives: mean sum of a test picture's probabilities.
    """

    epoch: int
    weights: Weights = "plain"
    metrics: dict[str, float | None]
    mAP_se: float | None
    predicted_positives: float | None = None
    per_class: list[ClassResult]


class Epoch(Strict):
    """One epoch of training. mAPs in percent.

    val_positives:      mean sum of a validation picture's probabilities.
    estimate_mAP:       of ROLE's estimated labels against all true labels of the training pictures.
    estimate_positives: mean sum of a training picture's estimated labels.
    *_ema:              of the averaged weights. test_*: with `select_on_test` only.
    metrics:            of a run with `epoch_metrics`: train_<metric> and val_<metric> in percent,
                        val_loss.
    """

    epoch: int
    lr: float
    train_loss: float
    val_mAP: float
    val_positives: float | None = None
    estimate_mAP: float | None = None
    estimate_positives: float | None = None
    val_mAP_ema: float | None = None
    test_mAP: float | None = None
    test_mAP_ema: float | None = None
    metrics: dict[str, float] = {}


class Counts(Strict):
    """Pictures of one split.

    expected:    annotated.
    used:        trained on or scored: readable, and under the `released` protocol in whole batches.
    cardinality: mean labels a picture.
    """

    expected: int
    used: int
    cardinality: float


class Provenance(Strict):
    """Where a record comes from.

    pretrained:    where the first weights came from.
    weights_sha256: of the produced files, by selection.
    captions_sha256: of the text model's weights.
    torch_seed:    what torch was seeded with; the released protocol draws it.
    """

    commit: str
    dirty: bool
    settings_sha256: str
    manifest_sha256: str
    pretrained: str
    pretrained_sha256: str | None
    weights_sha256: dict[str, str]
    captions_sha256: str | None = None
    mlflow_run_id: str | None = Field(default=None, exclude=True)  # of old records
    torch_seed: int | None = None


class Environment(Strict):
    """What a run was trained with.

    images_per_second:  of training, all epochs; of a run with `epochs: 0`, of scoring the test
                        split.
    forward_per_second: of own data: pictures, of the whole network's forward pass, decoded before.
    """

    python: str
    versions: dict[str, str]
    device: str
    precision: str
    threads: int
    train_seconds: float
    images_per_second: float
    forward_per_second: float | None = None
    peak_memory_mib: float


class Cost(Strict):
    """Of one picture at the run's resolution, backbone and head. GFLOPs = 2 x GMACs.

    Parameters are those of the whole model.
    """

    parameters: int
    trainable_parameters: int
    gmacs: float
    gflops: float


class LinearInit(Strict):
    """Where the second stage of a `linear_init` run began: the first stage's best epoch."""

    epoch: int
    val_mAP: float


class TrainingFacts(Strict):
    """training.json: what a training says of itself beside its weights and its history.

    epochs, weights: of each selection that was kept; a grid search has plain weights only.
    code_sha256:     evaluate stages read this file, and so run again after other code, even if it
                     trains the same weights.
    """

    epochs: dict[Selection, int]
    weights: dict[Selection, Weights] = {}
    commit: str
    dirty: bool
    settings_sha256: str
    manifest_sha256: str
    pretrained: str
    pretrained_sha256: str | None
    mlflow_run_id: str | None = Field(default=None, exclude=True)  # of old records
    torch_seed: int | None
    captions_sha256: str | None = None
    code_sha256: str | None = None
    environment: Environment
    linear_init: LinearInit | None = None


class Record(Strict):
    """What one run with one seed gave.

    data_set:     as the reader knows it; `run.data` is its name in the run id.
    measurements: both the best epoch on validation and the last one, and with `select_on_test` the
                  best on test (on_test), which is never `selected`.
    """

    version: Literal[1] = 1
    study: str
    data_set: str
    run: Run
    seed: int
    splits: dict[str, Counts]
    measurements: dict[Selection, Measurement]
    history: list[Epoch]
    provenance: Provenance
    environment: Environment
    cost: Cost

    @property
    def selected(self) -> Measurement:
        return self.measurements[self.run.selection]

    @property
    def name(self) -> str:
        """The stem of its file."""
        return f"{self.run.run_id}-s{self.seed}"


class Failure(Strict):
    """Why the last launch has no record of a run and seed.

    The stage that failed, where, and the file of what it printed.
    """

    stage: str
    error: str
    host: str
    log: str


Records = dict[str, list[Record]]  # by run id, each run's sorted by seed
Failures = dict[str, dict[int, Failure]]  # by run id and seed


def write_record(record: Record, path: Path) -> None:
    """Writes a record, and removes what the last launch said of its failure.

    Raises InputError for one that `read_record` would refuse: JSON has no NaN and no infinity.
    """
    text = record.model_dump_json(indent=1)
    try:
        Record.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            f"{path}: not written, as it could not be read again; the weights or the labels are "
            f"not as they should be: {error}"
        ) from None

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".failed").unlink(missing_ok=True)


def read_record(path: Path) -> Record:
    """Raises InputError for a file that is absent, and for one that is no record."""
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


def read_records(folder: Path) -> Records:
    """All records of a folder. Unreadable files are errors, an absent folder is not."""
    records: Records = {}
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if path.stem != record.name:
            raise InputError(
                f"{path}: holds {record.run.run_id} seed {record.seed}; "
                "rename it or run evaluate again"
            )
        records.setdefault(record.run.run_id, []).append(record)

    return {run: sorted(group, key=lambda record: record.seed) for run, group in records.items()}


def write_failure(failure: Failure, path: Path) -> None:
    """Beside the record `path` that is missing; the record's own writing removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = failure.model_dump_json(indent=1) + "\n"
    path.with_suffix(".failed").write_text(text, encoding="utf-8")


def read_failures(folder: Path) -> Failures:
    """Those of a folder's runs and seeds without a record."""
    failures: Failures = {}
    for path in sorted(folder.glob("*.failed")):
        if path.with_suffix(".json").exists():
            continue
        run_id, _, seed = path.stem.rpartition("-s")
        failure = Failure.model_validate_json(path.read_text(encoding="utf-8"))
        failures.setdefault(run_id, {})[int(seed)] = failure
    return failures
