"""Where an audit is written to: a page and a record, over nothing but those of an earlier audit."""

from dataclasses import dataclass
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.files import refuse_something_else
from mlrepro.records import ExternalRecord
from mlrepro.settings.base import load_json

PAGE = ".md"
RECORD = ".json"
# How every page of an audit begins.
TITLE = "# Audit: "


@dataclass(frozen=True)
class Outputs:
    """The files to be written, if any."""

    page: Path | None
    record: Path | None


def read_outputs(page: Path | None, record: Path | None) -> Outputs:
    """What the user asks for; a page has its record beside it, unless that is asked for elsewhere.

    Raises InputError for a file of another kind, such as the scores or labels themselves.
    """
    if page:
        _check_name(page, PAGE, "--to")
        record = record or page.with_suffix(RECORD)
        _check_page(page)
    if record:
        _check_name(record, RECORD, "--record")
        _check_record(record)
    return Outputs(page, record)


def _check_name(path: Path, suffix: str, option: str) -> None:
    if path.suffix != suffix:
        raise InputError(f"{option} {path}: give the name of a file that ends in {suffix}")
    refuse_something_else(path)


def _check_page(page: Path) -> None:
    if not page.exists():
        return
    with page.open(encoding="utf-8", errors="replace") as file:
        beginning = file.read(len(TITLE))
    if beginning != TITLE:
        raise InputError(f"{page}: is there, and no page of an audit; name another: --to PAGE")


def _check_record(record: Path) -> None:
    if record.exists():
        what = "the record of an audit, which alone is written anew"
        load_json(ExternalRecord, record, what, "name another: --record FILE")
