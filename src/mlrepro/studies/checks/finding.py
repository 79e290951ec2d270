"""What the checks of printed tables share: a finding, printed rows, and rounding."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mlrepro.studies.reported import ReportedRow

# Far above the error of binary fractions, far below any printed digit.
TINY = 1e-9


@dataclass(frozen=True)
class Finding:
    """What cannot be right, or cannot be what its label says.

    check:    the function that found it.
    tables:   where it stands.
    subject:  row and data set, or run.
    evidence: the calculation with numbers.
    """

    check: str
    tables: tuple[str, ...]
    subject: str
    evidence: str


@dataclass(frozen=True)
class PrintedRow:
    """A row of a table on one data set: its cells by metric."""

    table: str
    subject: str
    cells: dict[str, ReportedRow]

    def get(self, metric: str) -> ReportedRow | None:
        return self.cells.get(metric)

    def has(self, *metrics: str) -> bool:
        return self.cells.keys() >= set(metrics)


def printed_rows(rows: Sequence[ReportedRow]) -> list[PrintedRow]:
    """The cells of a study, put together row by row in the order of reported.csv."""
    cells: dict[tuple, dict[str, ReportedRow]] = defaultdict(dict)
    for row in rows:
        cells[row.place][row.metric] = row

    printed = []
    for (table, row, data_set, backbone, resolution), by_metric in cells.items():
        names = (row, backbone, resolution, data_set)
        subject = " ".join(str(name) for name in names if name)
        printed.append(PrintedRow(table, subject, by_metric))
    return printed


def tables_of(cells: Sequence[ReportedRow]) -> tuple[str, ...]:
    """The tables that cells stand in, each once."""
    return tuple(dict.fromkeys(cell.table for cell in cells))


def half_unit(cell: ReportedRow) -> float:
    """Half of the last printed digit's place: a printed 81.6 stands for 81.55 to 81.65."""
    number = cell.printed.split("±")[0]
    decimals = number.partition(".")[2].rstrip("sMB")
    return 0.5 * 10 ** -len(decimals) + TINY


def harmonic_mean(precision: float, recall: float) -> float:
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)
