"""`mlrepro audit`: from files to a terminal, a page, a record and an MLflow run."""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from mlrepro.audit.audit import Audit, Question, audit
from mlrepro.audit.compare import Comparison, compare
from mlrepro.audit.join import join
from mlrepro.audit.printed import read_printed
from mlrepro.audit.protocols import TUNED, read_metric
from mlrepro.audit.record import audited, external_record
from mlrepro.audit.scales import read_scale
from mlrepro.audit.tables import LabelTable, ScoreTable
from mlrepro.errors import InputError
from mlrepro.provenance import git_state
from mlrepro.records import ExternalRecord, Source, write_record
from mlrepro.report.audit_page import AuditPage, write_audit
from mlrepro.tracking import Tracker
from mlrepro_cli.audit.files import ARCHIVES, COMPRESSED, Place, read_place, sha256
from mlrepro_cli.audit.labels.read import read_labels
from mlrepro_cli.audit.outputs import Outputs, read_outputs
from mlrepro_cli.audit.scores.read import Naming, read_scores
from mlrepro_cli.audit.show import show_comparison, show_inputs, show_protocols

DATA = Path("data")
PREFIX = "audit-"

# In a name, everything else becomes an underscore.
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Inputs:
    """What was read, and where from."""

    scores_place: Place
    labels_place: Place
    scores: ScoreTable
    labels: LabelTable


def run_audit(arguments: argparse.Namespace) -> int:
    """Prints the audit; writes what was asked for. Raises InputError for what cannot be audited."""
    question = _question(arguments)
    outputs = read_outputs(arguments.to, arguments.record)
    inputs = _read_inputs(arguments)
    validation = _read_validation(arguments, inputs)
    result = audit(inputs.scores, inputs.labels, question, validation)
    show_inputs(inputs.scores, result)
    show_protocols(result)

    against = None
    if arguments.against:
        against = _compare(arguments, inputs, result)
        show_comparison(against[1], _file_name(inputs.scores_place), against[0])
    _write(arguments, outputs, inputs, result, against)
    return 0


# ---- What is asked -------------------------------------------------------------------------------


def _question(arguments: argparse.Namespace) -> Question:
    metric, decisions = read_metric(arguments.metric)
    if decisions and set(decisions) <= set(TUNED) and not arguments.val_scores:
        raise InputError(
            f"--metric {arguments.metric}: thresholds are tuned on validation, never on the test; "
            "give its scores: --val-scores"
        )

    return Question(
        metric=metric,
        decisions=decisions,
        printed=read_printed(arguments.reported) if arguments.reported is not None else None,
        kind=arguments.kind,
        nan_is_zero=arguments.nan == "zero",
        resamples=arguments.resamples,
        seed=arguments.seed,
    )


def _read_inputs(arguments: argparse.Namespace) -> Inputs:
    scores_place = read_place(arguments.scores)
    labels_place = read_place(_labels_path(arguments))
    naming = Naming(arguments.ids, arguments.class_names, arguments.split)
    return Inputs(
        scores_place=scores_place,
        labels_place=labels_place,
        scores=read_scores(scores_place, naming),
        labels=read_labels(labels_place, arguments.split),
    )


def _labels_path(arguments: argparse.Namespace) -> str:
    if arguments.labels:
        return arguments.labels
    if not arguments.data:
        raise InputError("give the labels of the pictures: --labels, or --data of a prepared set")
    folder = DATA / arguments.data
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; give --labels, or run dvc repro "
            f"data/dvc.yaml:prepare@{arguments.data}"
        )
    return str(folder)


def _read_validation(
    arguments: argparse.Namespace, inputs: Inputs
) -> tuple[ScoreTable, LabelTable] | None:
    if not arguments.val_scores:
        return None
    naming = Naming(classes=arguments.class_names, split=arguments.val_split)
    scores = read_scores(read_place(arguments.val_scores), naming)
    labels = arguments.val_labels or str(inputs.labels_place)
    return scores, read_labels(read_place(labels), arguments.val_split)


def _compare(
    arguments: argparse.Namespace, inputs: Inputs, result: Audit
) -> tuple[str, Comparison]:
    """The other scores' name, and the comparison with them."""
    naming = Naming(classes=arguments.class_names, split=arguments.split)
    place = read_place(arguments.against)
    scores = read_scores(place, naming)
    other = join(scores, inputs.labels, arguments.nan == "zero")
    comparison = compare(
        (result.joined, result.scale),
        (other, read_scale(other.scores, arguments.kind)),
        arguments.resamples,
        arguments.seed,
    )
    return _file_name(place), comparison


# ---- What is written -----------------------------------------------------------------------------


def _write(
    arguments: argparse.Namespace,
    outputs: Outputs,
    inputs: Inputs,
    result: Audit,
    against: tuple[str, Comparison] | None,
) -> None:
    record = _record(arguments, inputs, result) if outputs.record else None
    if record:
        write_record(record, outputs.record)
        _track(record, outputs.record, result)
        print(f"record: {outputs.record}")

    if outputs.page:
        page = AuditPage(
            title=record.name,
            audit=result,
            record=record,
            record_file=_beside(outputs.record, outputs.page),
            against=against,
            command=["mlrepro", *map(_without_folders, sys.argv[1:])],
        )
        write_audit(page, outputs.page)
        print(f"page: {outputs.page}")


def _record(arguments: argparse.Namespace, inputs: Inputs, result: Audit) -> ExternalRecord:
    verdict = result.verdict
    source = Source(
        who=arguments.who,
        link=arguments.link,
        licence=arguments.licence,
        scores=_file_name(inputs.scores_place),
        scores_sha256=sha256(inputs.scores_place.path),
        labels=_file_name(inputs.labels_place),
    )
    of_number = audited(
        arguments.metric,
        result.outcomes,
        verdict.printed.text if verdict else None,
        verdict.given_by if verdict else [],
    )

    return external_record(
        name=_name(arguments, inputs.scores_place),
        data=NOT_IN_NAMES.sub("_", arguments.data or _stem(inputs.labels_place)),
        source=source,
        labels=inputs.labels,
        evaluation=result.evaluation,
        audited=of_number,
    )


def _name(arguments: argparse.Namespace, place: Place) -> str:
    if arguments.name:
        name = arguments.name
    elif arguments.to:
        name = arguments.to.stem.removeprefix(PREFIX)
    else:
        name = place.part or _stem(place)
    return NOT_IN_NAMES.sub("_", name)


def _stem(place: Place) -> str:
    """The file's name without what tells its format."""
    name = place.path.resolve().name
    for suffix in (*ARCHIVES, COMPRESSED):
        name = name.removesuffix(suffix)
    return Path(name).stem


def _file_name(place: Place) -> str:
    """Without folders, which are of this machine."""
    name = place.path.resolve().name
    return f"{name}#{place.part}" if place.part else name


def _without_folders(argument: str) -> str:
    """An argument of the command line; of a file elsewhere only the name, for others to read."""
    path = Path(argument.partition("#")[0])
    if path.is_absolute():
        return argument.removeprefix(f"{path.parent}/")
    return argument


def _beside(file: Path | None, page: Path) -> str | None:
    """The file as a link on the page; none where it is elsewhere."""
    if file is None or file.parent.resolve() != page.parent.resolve():
        return None
    return file.name


def _track(record: ExternalRecord, path: Path, result: Audit) -> None:
    """Logs it to MLflow, as an evaluation of ours is."""
    tags = {
        "origin": record.origin,
        "data_set": record.data_set,
        "study": record.study,
        "source": record.source.link or record.source.who or "unknown",
        "commit": git_state()[0],
        "stage": "mlrepro audit",
    }
    tracker = Tracker(f"{record.study}/{record.data_set}", record.run, record.seed, tags)
    printed = result.question.printed
    is_map = result.question.metric == "mAP"
    tracker.record(record, path, printed.value if printed and is_map else None)
