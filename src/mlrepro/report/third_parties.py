"""Scores of third parties on a study's page: their numbers, recomputed, apart from ours."""

from dataclasses import dataclass

from mlrepro.judging import metric_values
from mlrepro.records import ExternalRecord
from mlrepro.report.markdown import ABSENT, code, name, number, table
from mlrepro.report.tables import DIGEST_LENGTH
from mlrepro.studies.external import COMMAND, ThirdParty
from mlrepro.studies.results import StudyResults

METRIC = "mAP"


@dataclass(frozen=True)
class ThirdPartySection:
    """numbers: a row a set of scores. parties: who says what of them. missing: without a record."""

    numbers: str | None
    parties: list[ThirdParty]
    missing: list[str]
    command: str


def third_party_section(results: StudyResults) -> ThirdPartySection | None:
    """None where nobody has handed in any."""
    parties = results.third_parties
    if not parties:
        return None
    computed = [party for party in parties if party.record]
    return ThirdPartySection(
        numbers=_numbers(computed) if computed else None,
        parties=parties,
        missing=[party.name for party in parties if not party.record],
        command=f"{COMMAND} {results.folder.as_posix()}",
    )


def _numbers(parties: list[ThirdParty]) -> str:
    headers = [
        "scores",
        "claim to be",
        "data set",
        "they print",
        "recomputed",
        "by the protocol",
        "mAP, the default",
        "SE",
        "pictures",
        "sha256",
        "computed on",
    ]
    rows = []
    for party in parties:
        external, record = party.external, party.record
        test = record.splits["test"]
        rows.append(
            [
                code(party.name),
                code(external.run) if external.run else "no row",
                name(external.data_set),
                external.reported or ABSENT,
                number(_given(record)),
                _protocol(record),
                number(*metric_values([record], METRIC)),
                number(record.selected.mAP_se),
                f"{test.used:,} of {test.expected:,}",
                code(record.source.scores_sha256[:DIGEST_LENGTH]),
                record.source.date or ABSENT,
            ]
        )
    return table("lllrrlrrrll", headers, rows)


def _given(record: ExternalRecord) -> float | None:
    """The metric that is printed, by the protocol that gives it; none where no protocol does."""
    audited = record.audited
    return audited.protocols[audited.given_by[0]] if audited.given_by else None


def _protocol(record: ExternalRecord) -> str:
    audited = record.audited
    if audited.reported is None:
        return ABSENT
    return audited.given_by[0] if audited.given_by else "none gives it"
