"""Scores that third parties hand in for a study: what they say of themselves, and our record.

studies/<study>/external/<name>.yaml names the files. <name>.json beside it is the record of an
audit of them (origin: external), which a page shows: scores are not kept in git. Nothing in a
record is typed; `mlrepro_cli.audit.external` computes it.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mlrepro.errors import InputError
from mlrepro.records import ExternalRecord, read_record
from mlrepro.settings.base import Strict, load, nearest
from mlrepro.settings.run_id import checked_run_id
from mlrepro.studies.study import Study

FOLDER = "external"
COMMAND = "python stages/external.py"
NAME = re.compile(r"[A-Za-z0-9_-]+")
WEB = ("http://", "https://")


def below_data(text: str) -> str:
    """A path below data/, which git ignores. Raises ValueError for another one."""
    path = PurePosixPath(text)
    if path.parts[:1] != ("data",) or ".." in path.parts:
        raise ValueError(
            f"{text!r} is no path below data/: place the file there, say data/external"
        )
    return text


def web_or_below_data(text: str) -> str:
    return text if text.startswith(WEB) else below_data(text)


PlacedFile = Annotated[str, AfterValidator(below_data)]


class External(Strict):
    """One <name>.yaml. What is not known is left out, and the page says so.

    scores: a path below data/, or an address of the web; one matrix of several: FILE#NAME.
    sha256: of the scores' file.
    labels: of the same pictures, below data/. split, class_names, ids: as `mlrepro audit` takes
            them; class_names are in the order of the columns.
    run:    of the printed row that the scores claim to be; none: of no row of this study.
    reported, metric: what the third party prints for them.
    """

    scores: Annotated[str, AfterValidator(web_or_below_data)]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    labels: PlacedFile
    data_set: str
    split: str | None = None
    class_names: PlacedFile | None = None
    ids: PlacedFile | None = None
    run: Annotated[str, AfterValidator(checked_run_id)] | None = None
    metric: str = "mAP"
    reported: str | None = None
    who: str | None = None
    link: str | None = None
    licence: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _reported_is_text(self) -> "External":
        if self.reported is not None and not re.fullmatch(r"\d{1,3}(\.\d+)?", self.reported):
            raise ValueError(
                f"reported: {self.reported!r} is not a number as it is printed, in percent: '82.0'"
            )
        return self

    @property
    def is_on_the_web(self) -> bool:
        return self.scores.startswith(WEB)

    @property
    def place(self) -> str:
        """Where the scores are once they are at hand, with the name of the matrix."""
        if not self.is_on_the_web:
            return self.scores
        address, mark, part = self.scores.partition("#")
        name = PurePosixPath(address.partition("?")[0]).name or "scores"
        return f"data/{FOLDER}/{self.sha256[:12]}-{name}{mark}{part}"


@dataclass(frozen=True)
class ThirdParty:
    """record: none where nobody has computed it yet."""

    name: str
    external: External
    record: ExternalRecord | None


def read_third_parties(study: Study, folder: Path) -> list[ThirdParty]:
    """Those of studies/<study>, by name.

    Raises InputError where one names a run that no row has, or its record is of other scores.
    """
    third_parties = []
    for path in sorted((folder / FOLDER).glob("*.yaml")):
        external = read_external(path)
        if external.run and external.run not in study.runs:
            raise InputError(
                f"{path}: run: no row of {folder}/reported.csv is of {external.run}; "
                f"{nearest(external.run, study.runs)}, or leave it out"
            )
        third_parties.append(ThirdParty(path.stem, external, _read_record(path, external)))
    return third_parties


def read_external(path: Path) -> External:
    if not NAME.fullmatch(path.stem):
        raise InputError(f"{path}: rename it: letters, digits, '_' and '-' alone")
    return load(External, path)


def _read_record(settings: Path, external: External) -> ExternalRecord | None:
    path = settings.with_suffix(".json")
    if not path.exists():
        return None
    record = read_record(path)
    if record.origin != "external" or record.source.scores_sha256 != external.sha256:
        raise InputError(
            f"{path}: is not the record of the scores that {settings.name} names; "
            f"{COMMAND} {settings.parent.parent.as_posix()}"
        )
    return record
