"""What a run leaves behind: the facts of its training, and the result record.

A record is one JSON a run and seed, kept in git. Here are the schema, reading and writing; what a
record is worth beside a printed number is judging.py's.

Scores from outside have a record of the same schema, whose origin is `external`.

A record holds what was measured. What varies by nature (machine, seconds, commit) is its
environment, which is kept beside it (environments.py): the same results are the same file on every
machine.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from mlrepro.environments import Environment, read_environments
from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.json_text import json_text, significant
from mlrepro.provenance import in_git
from mlrepro.settings.base import Strict, load_json
from mlrepro.settings.run import Run

# A seed in a file's name.
NUMBER = re.compile("[0-9]{1,10}")

Selection = Literal["best", "last", "on_test"]
Weights = Literal["plain", "ema"]


class ClassResult(Strict):
    """One label.

    train, test: positives by split. observed: positives that the training rows still show. Of an
                 external record, only those of the test are known.
    AP:          on the test split, a fraction; none: undefined.
    balanced:    positives expected of as many class-uniform draws as there are training pictures.
    weight:      of a positive in `bce_weighted`.
    confusion:   tn, fp, fn, tp of the test decisions at probability 0.5.
    """

    name: str
    train: int | None
    observed: int | None
    test: int
    AP: float | None
    balanced: float | None = None
    weight: float | None = None
    confusion: tuple[int, int, int, int] | None = None


class Measurement(Strict):
    """One selection of weights, scored on test.

    epoch:   from 0; -1: a checkpoint as it was loaded, or scores from outside.
    metrics: in percent, also those of its Epoch.
    mAP_se:  standard error from resampled test pictures, in points; none where there is no mAP.
    predicted_positives: mean sum of a test picture's probabilities.
    resamples: the mAP on each resample of the test pictures (resamples.py); none of another
               selection than the run's own, and in records of older versions.
    """

    epoch: int
    weights: Weights = "plain"
    metrics: dict[str, float | None]
    mAP_se: float | None
    predicted_positives: float | None = None
    per_class: list[ClassResult]
    resamples: list[float | None] | None = None


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
    """Which inputs a record follows from.

    pretrained:      where the first weights came from.
    captions_sha256: of the text model's weights.
    torch_seed:      what torch was seeded with; the released protocol draws it.
    """

    settings_sha256: str
    manifest_sha256: str
    pretrained: str
    pretrained_sha256: str | None
    captions_sha256: str | None = None
    torch_seed: int | None = None


# What stood in other places before it became a part of the environment; and what was dropped.
ONCE_IN_PROVENANCE = ("commit", "dirty", "weights_sha256")
ONCE_IN_FACTS = ("commit", "dirty", "mlflow_run_id", "environment")


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

    Nothing in it varies by nature: the same bits trained again are the same folder.

    epochs, weights: of each selection that was kept; a grid search has plain weights only.
    code_sha256:     evaluate stages read this file, and so run again after other code, even if it
                     trains the same weights.
    """

    epochs: dict[Selection, int]
    weights: dict[Selection, Weights] = {}
    settings_sha256: str
    manifest_sha256: str
    pretrained: str
    pretrained_sha256: str | None
    torch_seed: int | None
    captions_sha256: str | None = None
    code_sha256: str | None = None
    linear_init: LinearInit | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_environment(cls, values: Any) -> Any:
        """Older trainings have it in the same file."""
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if key not in ONCE_IN_FACTS}


class Choice(Strict):
    """What a run may be chosen by: its mAP in percent on pictures that are not the test's.

    resamples: as those of a Measurement.
    """

    mAP: float | None
    pictures: int
    resamples: list[float | None] | None = None


class Calibration(Strict):
    """What logits are divided by, fitted on validation, and what that does to the test's scores.

    error_before, error_after: expected calibration error in points (metrics/calibration.py).
    """

    temperature: float
    error_before: float
    error_after: float


ChosenBy = Literal["validation", "cross_validation"]


class Record(Strict):
    """What one run with one seed gave.

    data_set:     as the reader knows it; `run.data` is its name in the run id.
    measurements: both the best epoch on validation and the last one, and with `select_on_test` the
                  best on test (on_test), which is never `selected`.
    choices, calibration: of own data.
    environment:  no part of its file; none where nothing is known of it.
    origin:       whose scores these are; see ExternalRecord.
    """

    version: Literal[2] = 2
    origin: Literal["run", "external"] = "run"
    study: str
    data_set: str
    run: Run
    seed: int
    splits: dict[str, Counts]
    measurements: dict[Selection, Measurement]
    history: list[Epoch]
    provenance: Provenance
    cost: Cost
    choices: dict[ChosenBy, Choice] = {}
    calibration: Calibration | None = None
    environment: Environment | None = Field(default=None, exclude=True)

    @model_validator(mode="wrap")
    @classmethod
    def _by_origin(cls, values: Any, validate: Callable) -> "Record":
        """One of scores from outside, if its file says so."""
        external = isinstance(values, dict) and values.get("origin") == "external"
        if external and cls is Record:
            return ExternalRecord.model_validate(values)
        return validate(values)

    @model_validator(mode="before")
    @classmethod
    def _of_version_1(cls, values: Any) -> Any:
        """A record of version 1 has its environment in it."""
        if not isinstance(values, dict) or values.get("version") != 1:
            return values

        provenance = dict(values.get("provenance", {}))
        provenance.pop("mlflow_run_id", None)
        moved = {key: provenance.pop(key) for key in ONCE_IN_PROVENANCE if key in provenance}
        environment = values.get("environment", {}) | moved
        return values | {"version": 2, "provenance": provenance, "environment": environment}

    @property
    def selected(self) -> Measurement:
        return self.measurements[self.run.selection]

    @property
    def name(self) -> str:
        """The stem of its file."""
        return f"{self.run.run_id}-s{self.seed}"


# ---- Scores from outside -----------------------------------------------------------------------


class Source(Strict):
    """Where scores from outside came from, and what they were measured beside.

    who, link, licence: as they were given; none: unknown. Nothing of these was checked.
    scores, labels:     names of the files. scores_sha256: of the file's bytes, or of a folder's.
    date:               of a study's third parties, when its numbers were computed.
    """

    who: str | None = None
    link: str | None = None
    licence: str | None = None
    scores: str
    scores_sha256: str
    labels: str
    date: str | None = None


class ExternalRun(Strict):
    """What is known of the run behind scores from outside: its name.

    protocol: the choices under which the record's metrics are measured (audit/protocols.py).
    """

    name: str
    data: str
    labels: Literal["full"] = "full"
    epochs: Literal[0] = 0
    selection: Literal["last"] = "last"
    protocol: dict[str, str | int]

    @property
    def run_id(self) -> str:
        return self.name

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Audited(Strict):
    """A metric under every protocol. reported: the number as it is printed.

    protocols: percent by the protocol's description. given_by: those that round to `reported`.
    """

    metric: str
    reported: str | None = None
    given_by: list[str] = []
    protocols: dict[str, float]


class ExternalRecord(Record):
    """The same of scores that somebody else has computed: their network is not known.

    What was measured is recomputed from the scores; who says so is in `source`.
    """

    origin: Literal["external"] = "external"
    run: ExternalRun
    cost: None = None
    source: Source
    audited: Audited

    @property
    def name(self) -> str:
        return self.run.name


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


# Keys of a record that hold measured numbers; settings stay as exact as they are given.
MEASURED = ("splits", "measurements", "history", "cost", "choices", "calibration", "audited")


def write_record(record: Record, path: Path) -> None:
    """Writes a record, and removes what the last launch said of its failure.

    Raises InputError for one that `read_record` would refuse.
    """
    text = record_text(record, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    path.with_suffix(".failed").unlink(missing_ok=True)


def record_text(record: Record, path: Path) -> str:
    """Its file. path: for messages.

    Measured numbers have six significant digits, of which another processor's rounding rarely
    changes one. Raises InputError for one that could not be read again: JSON has no NaN and no
    infinity.
    """
    values = record.model_dump(mode="json")
    if record.origin == "run":
        del values["origin"]  # records of runs had none, and stay the same files
    for key in ("choices", "calibration"):
        if not values[key]:
            del values[key]
    values["history"] = [_without_defaults(epoch) for epoch in record.history]
    for selection, measurement in record.measurements.items():
        classes = [_without_defaults(c) for c in measurement.per_class]
        values["measurements"][selection]["per_class"] = classes
        if measurement.resamples is None:
            del values["measurements"][selection]["resamples"]
    rounded = {key: significant(values[key]) for key in MEASURED if key in values}

    text = json_text(values | rounded)
    try:
        Record.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            f"{path}: not written, as it could not be read again; the weights or the labels are "
            f"not as they should be: {error}"
        ) from None
    return text


def keep_record(path: Path, copy: Path) -> None:
    """Copies a record that was written to where DVC leaves it."""
    write_bytes(copy, path.read_bytes())


def put_back_record(path: Path, copy: Path) -> None:
    """Puts the last good record back, so that an evaluation that fails leaves it.

    DVC removes a stage's outputs before it runs it, and keeps no copy of what git keeps. copy: of
    keep_record; in its place, git's.
    """
    if path.exists():
        return
    text = copy.read_text(encoding="utf-8") if copy.is_file() else in_git(path)
    try:
        Record.model_validate_json(text or "")
    except ValidationError:  # there is none, or none that pages could read
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())


def _without_defaults(part: Strict) -> dict:
    """Of what there are many, what does not apply is left out."""
    return part.model_dump(mode="json", exclude_defaults=True)


def read_record(path: Path) -> Record:
    """What the file says alone, without the environment that is kept beside it.

    Raises InputError for a file that is absent, and for one that is no record.
    """
    if not path.exists():
        raise InputError(
            f"{path}: no such record; run its evaluate stage, or the search stage that gives it"
        )
    return load_json(Record, path, "a result record", "run its evaluate stage again")


def read_records(folder: Path) -> Records:
    """All records of a folder, with their environments as far as its table has them.

    Unreadable files are errors, an absent folder is not.
    """
    environments = read_environments(folder)
    records: Records = {}
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if record.environment is None and path.stem in environments:
            record = record.model_copy(update={"environment": environments[path.stem]})
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
    """Those of a folder's runs and seeds without a record.

    Raises InputError for a file that is none: it can be deleted, and the next launch writes it.
    """
    remedy = "delete it; if the run still fails, the next launch writes it again"
    failures: Failures = {}
    for path in sorted(folder.glob("*.failed")):
        if path.with_suffix(".json").exists():
            continue
        run_id, _, seed = path.stem.rpartition("-s")
        if not run_id or not NUMBER.fullmatch(seed):
            raise InputError(f"{path}: not named <run>-s<seed>.failed; {remedy}")
        failure = load_json(Failure, path, "what a launch says of a failure", remedy)
        failures.setdefault(run_id, {})[int(seed)] = failure
    return failures
