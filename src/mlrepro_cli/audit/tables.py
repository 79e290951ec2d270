"""Tables of text or parquet with a column of pictures.

Text: .csv, .tsv, .txt; commas, tabs, semicolons or spaces between fields, with or without a header,
decimal points or, between semicolons, decimal commas. Parquet: as pandas and others write it.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from mlrepro.errors import InputError
from mlrepro_cli.audit.files import LONGEST_LINE, check_unpacked, open_bytes

# How people head the column of pictures, the most telling first; small letters, no other signs.
ID_HEADERS = (
    *("image", "imageid", "imageids", "imagename", "imagepath", "imagefile"),
    *("img", "imgid", "imgname", "imgpath", "picture", "pictureid", "photo"),
    *("file", "filename", "filepath", "path", "name", "sample", "sampleid", "id", "ids", "key"),
)
# Of a numbering of rows that pandas writes.
INDEX_HEADERS = ("", "__index_level_0__", "Unnamed: 0")

CELL_BYTES = 8  # of a table in memory, at the least

DELIMITERS = ",\t;"
NUMBER = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf(inity)?)|", re.IGNORECASE
)  # also no text at all: a cell without a number
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Table:
    """ids: a row each. columns: the others, by header. has_header: else columns are numbered."""

    source: str
    ids: list[str]
    columns: pyarrow.Table
    has_header: bool

    @property
    def numeric(self) -> list[str]:
        return [field.name for field in self.columns.schema if _is_numeric(field.type)]

    @property
    def textual(self) -> list[str]:
        return [field.name for field in self.columns.schema if _is_text(field.type)]

    @property
    def lists(self) -> list[str]:
        return [field.name for field in self.columns.schema if _is_list(field.type)]

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """(rows, names) of numeric columns, NaN where a cell is empty."""
        columns = [_numbers(self.columns[name]) for name in names]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.ids), 0))

    def text(self, name: str) -> list[str]:
        """Of a column of text; "" where a cell is empty."""
        return [value or "" for value in self.columns[name].to_pylist()]


def read_table(path: Path) -> Table:
    """Raises InputError for what is no table, or has no column of pictures."""
    try:
        if path.suffix.lower() == ".parquet":
            facts = parquet.read_metadata(path)
            check_unpacked(path, facts.num_rows * facts.num_columns * CELL_BYTES)
            columns = parquet.read_table(path)
            has_header = True
            id_column = _id_column(columns.column_names, _first_parquet_row(columns))
        else:
            columns, has_header, id_column = _read_text(path)
    except (pyarrow.ArrowException, csv.Error, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a table: {_first_line(error)}") from None

    ids = columns[id_column]
    if ids.null_count:
        raise InputError(
            f"{path}: {ids.null_count:,} rows without a picture in the column {id_column!r}; mend "
            "or remove them"
        )
    unused = [name for name in INDEX_HEADERS if name in columns.column_names]
    return Table(
        source=str(path),
        ids=[_as_text(value) for value in ids.to_pylist()],
        columns=columns.drop_columns({id_column, *unused}),
        has_header=has_header,
    )


def plain(header: str) -> str:
    """A header as ID_HEADERS are written."""
    return "".join(letter for letter in header.casefold() if letter.isalnum())


def first_called(names: list[str], headers: tuple[str, ...]) -> str | None:
    """The first of the columns `names` that is called by one of `headers`, as `plain` writes it."""
    for name in names:
        if plain(name) in headers:
            return name
    return None


# ---- Text ----------------------------------------------------------------------------------------


def _read_text(path: Path) -> tuple[pyarrow.Table, bool, str]:
    """The columns, whether they have a header, and which of them names pictures."""
    with open_bytes(path) as file:
        start = file.read(LONGEST_LINE)
    text = start.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise InputError(f"{path}: empty; give the table itself")

    delimiter = _delimiter(text.partition("\n")[0])
    rows = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 2))
    header = [field.strip() for field in rows[0]]
    first = rows[-1]
    has_header = not _is_data(header)
    if not has_header:
        header = [f"column {place}" for place in range(len(header))]
    if len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise InputError(f"{path}: columns of the same name: {', '.join(twice)}; name them apart")
    id_column = _id_column(header, first if len(rows) > 1 or not has_header else header)

    with open_bytes(path) as file:
        columns = arrow_csv.read_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                column_names=header, skip_rows=int(has_header), block_size=LONGEST_LINE
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                # 000001 is a name, and no number.
                column_types={id_column: pyarrow.string()},
                decimal_point=_decimal_point(first, delimiter),
                strings_can_be_null=True,
            ),
        )
    return columns, has_header, id_column


def _delimiter(line: str) -> str:
    best = max(DELIMITERS, key=line.count)
    return best if best in line else " "


def _is_data(row: list[str]) -> bool:
    """Whether a first row is one of numbers already, behind a picture."""
    is_id_header = plain(row[0]) in ID_HEADERS or row[0] in INDEX_HEADERS
    numbers = [NUMBER.fullmatch(field) or DECIMAL_COMMA.fullmatch(field) for field in row[1:]]
    return bool(numbers) and all(numbers) and not is_id_header


def _decimal_point(row: list[str], delimiter: str) -> str:
    with_comma = any(DECIMAL_COMMA.fullmatch(field.strip()) for field in row[1:])
    return "," if delimiter != "," and with_comma else "."


# ---- Columns -------------------------------------------------------------------------------------


def _id_column(header: list[str], first: list[str]) -> str:
    """That of pictures: by its header, else the first of text, else the first."""
    by_plain: dict[str, str] = {}
    for name in header:
        by_plain.setdefault(plain(name), name)
    for name in ID_HEADERS:
        if name in by_plain:
            return by_plain[name]
    for name in INDEX_HEADERS:
        if name in header:
            return name
    for name, field in zip(header, first, strict=False):
        if not NUMBER.fullmatch(field.strip()):
            return name
    return header[0]


def _first_parquet_row(columns: pyarrow.Table) -> list[str]:
    row = columns.slice(0, 1).to_pylist()
    return [_as_text(value) for value in row[0].values()] if row else []


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return str(value).strip()


def _numbers(column: pyarrow.ChunkedArray) -> np.ndarray:
    if pyarrow.types.is_boolean(column.type):
        column = column.cast(pyarrow.int8())
    if pyarrow.types.is_null(column.type):
        return np.full(len(column), np.nan)
    return column.to_numpy()


def _is_numeric(kind: pyarrow.DataType) -> bool:
    types = pyarrow.types
    return any(
        is_kind(kind)
        for is_kind in (types.is_floating, types.is_integer, types.is_boolean, types.is_null)
    )


def _is_text(kind: pyarrow.DataType) -> bool:
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)


def _is_list(kind: pyarrow.DataType) -> bool:
    types = pyarrow.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0][:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
