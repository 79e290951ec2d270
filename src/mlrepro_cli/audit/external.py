"""Records of third parties' scores, computed from the scores and labels that are at hand."""

import datetime
from pathlib import Path

from mlrepro.audit.audit import Question, audit
from mlrepro.audit.printed import read_printed
from mlrepro.audit.protocols import read_metric
from mlrepro.audit.record import audited, external_record
from mlrepro.data.fetching.mirrors import fetch
from mlrepro.errors import InputError
from mlrepro.records import ExternalRecord, Source, read_record, record_text, write_record
from mlrepro.studies.external import FOLDER, External, read_external
from mlrepro_cli.audit.files import read_place, sha256
from mlrepro_cli.audit.labels.read import read_labels
from mlrepro_cli.audit.scores.read import Naming, read_scores


def settings_files(study: Path) -> list[Path]:
    return sorted((study / FOLDER).glob("*.yaml"))


def renew_records(study: Path) -> None:
    """Computes those again whose scores and labels are at hand; the others stay as they are.

    Raises InputError where the scores at hand are not those that are named.
    """
    for path in settings_files(study):
        if is_at_hand(read_external(path)):
            renew_record(path)


def is_at_hand(external: External) -> bool:
    files = [external.place.partition("#")[0], external.labels, external.class_names, external.ids]
    return all(Path(file).exists() for file in files if file)


def renew_record(settings: Path) -> bool:
    """Writes the record beside its settings where any number differs; whether one does.

    The date is that of the day on which the numbers were computed first.
    """
    external = read_external(settings)
    record = make_record(settings, external)
    path = settings.with_suffix(".json")
    if path.exists():
        as_before = _dated(record, read_record(path).source.date)
        if record_text(as_before, path) == path.read_text(encoding="utf-8"):
            return False
    write_record(_dated(record, datetime.date.today().isoformat()), path)
    return True


def _dated(record: ExternalRecord, date: str | None) -> ExternalRecord:
    return record.model_copy(update={"source": record.source.model_copy(update={"date": date})})


def fetch_scores(external: External) -> None:
    """Those on the web, to data/external; a file that is there is checked and kept."""
    if not external.is_on_the_web:
        return
    target = Path(external.place.partition("#")[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    address = external.scores.partition("#")[0]
    fetch(target.name, [address], target, sha256=external.sha256)


def make_record(settings: Path, external: External) -> ExternalRecord:
    """Raises InputError where files are absent, or are not those that the settings name."""
    place = read_place(external.place)
    found = sha256(place.path)
    if found != external.sha256:
        raise InputError(
            f"{place.path}: its sha256 is {found}, not that of {settings} ({external.sha256}); "
            "get the file that is named, or mend the settings"
        )

    naming = Naming(_path(external.ids), _path(external.class_names), external.split)
    labels = read_labels(read_place(external.labels), external.split)
    metric, decisions = read_metric(external.metric)
    printed = None if external.reported is None else read_printed(external.reported)
    result = audit(read_scores(place, naming), labels, Question(metric, decisions, printed))
    record = external_record(
        name=settings.stem,
        data=external.data_set,
        source=_source(external),
        labels=labels,
        evaluation=result.evaluation,
        audited=audited(
            external.metric,
            result.outcomes,
            external.reported,
            result.verdict.given_by if result.verdict else [],
        ),
    )
    study = settings.parent.parent.name
    return record.model_copy(update={"study": study})


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _source(external: External) -> Source:
    return Source(
        who=external.who,
        link=external.link,
        licence=external.licence,
        scores=_name(external.scores),
        scores_sha256=external.sha256,
        labels=_name(external.labels),
    )


def _name(place: str) -> str:
    """Without the folders, which may be another machine's."""
    return place.rpartition("/")[2]
