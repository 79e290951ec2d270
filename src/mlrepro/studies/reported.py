"""A reported.csv: what a source document prints, one number a line, verbatim."""

import csv
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mlrepro.errors import InputError
from mlrepro.settings.base import Strict
from mlrepro.settings.run_id import parse_run_id

DIGITS = re.compile(r"\d+(\.\d+)?(e-?\d+)?", re.IGNORECASE)
NONE_IF_EMPTY = BeforeValidator(lambda text: text or None)


class ReportedRow(Strict):
    """One printed number, of a row of a table on a data set."""

    table: str = Field(min_length=1)
    row: str = Field(min_length=1)
    run: str
    """Empty where no run of ours can give the number; `note` then says why."""
    data_set: str = Field(min_length=1)
    backbone: str
    resolution: Annotated[int | None, NONE_IF_EMPTY]
    """Pixels a side, none where it is not printed."""

    metric: str = Field(min_length=1)
    printed: str = Field(min_length=1)
    """Verbatim."""
    number: float
    """The same in the metric's printed unit.

    mAP in percent, an F1 printed as a fraction stays one, times in seconds.
    """
    std: Annotated[float | None, NONE_IF_EMPTY]
    convention: Literal[
        "",
        "macs",
        "flops",
        "unknown",
        "exact",
        "interpolated",
        "11-point",
        "per-sample",
        "threshold 0.4",
    ]
    """What a GFLOPs number counts, which AP a mAP is, that a CF1 is a mean over pictures, or at
    which probability an F1 is taken (none: 0.5)."""

    source: str = Field(min_length=1)
    checked: Literal["yes", "memory", "third party"]
    note: str

    @property
    def label(self) -> tuple:
        """What makes a row of a table, whichever way round the document prints it."""
        return self.row, self.backbone, self.resolution

    @property
    def place(self) -> tuple:
        """A row on one data set: its metrics come from one run."""
        return self.table, self.row, self.data_set, self.backbone, self.resolution

    @property
    def cell(self) -> tuple:
        """What no other line may be."""
        return *self.place, self.metric

    @property
    def document(self) -> str:
        """What prints it: the source without the place in it, and without who cites it."""
        return re.split(r",| via ", self.source)[0]


def rounding(printed: str) -> float:
    """Half of a unit of the last digit that is printed: 0.005 of 1.58, 0.5 of 98MB."""
    number, _, _ = printed.partition("±")
    digits = DIGITS.search(number.replace(",", ""))
    if digits is None:
        return 0.0
    # The exponent of the last digit: -2 of 1.58, -5 of 1e-5, 0 of 98.
    return 0.5 * 10.0 ** Decimal(digits.group()).as_tuple().exponent


def same_number(measured: float, cell: ReportedRow, tolerance: float) -> bool:
    """Whether a number is the printed one; both in the printed unit."""
    # Against an error of the last bit, where the two differ by just the tolerance.
    slack = 1e-9 * max(1.0, abs(cell.number))
    return abs(measured - cell.number) <= tolerance + slack


def load_reported(path: Path) -> list[ReportedRow]:
    """Reads a reported.csv, rows in the file's order.

    Raises InputError that names file, line and what is wrong there. That the rows agree with what
    they print, and with each other, is for `studies.checks.check_reported` to say.
    """
    rows = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            for values in reader:
                row = ReportedRow.model_validate(values)
                if row.run:
                    parse_run_id(row.run)
                rows.append(row)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; a study's numbers stand in its reported.csv"
        ) from None
    except (ValueError, csv.Error) as error:  # also what pydantic raises, which names the key
        raise InputError(f"{path}:{reader.line_num}: {error}") from None
    return rows
