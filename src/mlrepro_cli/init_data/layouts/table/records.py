"""Records of other programs: lines of JSON, a JSON list, Parquet, spreadsheets."""

import io
import json
from collections.abc import Iterator
from typing import Any

from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.headers import label_family
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.text import decode

Record = dict[str, Any]

# Where Hugging Face's `datasets` keeps the names of numbered classes.
HUGGING_FACE = b"huggingface"


def read_json_lines(file: LabelFile, content: bytes) -> Sheet:
    """A JSON object a line."""
    text, _ = decode(file.path, content, file.answers.encoding)
    records, lines = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        records.append(_object(file, line, f"line {number}"))
        lines.append(number)
    return _sheet(file, records, lines, "line")


def read_json(file: LabelFile, content: bytes) -> Sheet | None:
    """A list of objects, as pandas writes it; none for JSON of any other kind."""
    text, _ = decode(file.path, content, file.answers.encoding)
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.path}: no JSON ({error}); mend it or move it away") from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return None
    return _sheet(file, records, list(range(1, len(records) + 1)), "record")


def read_parquet(file: LabelFile, content: bytes) -> Sheet:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(io.BytesIO(content)).read()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{file.path}: no Parquet ({reason}); write it again") from None

    records = table.to_pylist()
    _name_classes(records, _class_names(table.schema.metadata or {}))
    return _sheet(file, records, list(range(1, len(records) + 1)), "row")


def read_excel(file: LabelFile, content: bytes) -> Sheet:
    """The first sheet, where openpyxl is installed."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            f"{file.path}: Excel's own format is not read; save it as `CSV UTF-8`, or "
            "`pip install openpyxl`"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except Exception as error:  # of zip, XML, and openpyxl itself
        raise InputError(f"{file.path}: no Excel file ({error}); save it again") from None

    if len(book.sheetnames) > 1:
        print(f"{file.path}: of its sheets, the first is read: {book.sheetnames[0]!r}")
    rows = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
    header = [str(name) if name is not None else "" for name in (rows or [[]])[0]]
    names = [name or f"column {place}" for place, name in enumerate(header, start=1)]

    records, numbers = [], []
    for number, row in enumerate(rows[1:], start=2):
        if any(value is not None for value in row):
            records.append(dict(zip(names, row, strict=True)))
            numbers.append(number)
    return _sheet(file, records, numbers, "row")


# ---- Records as rows of text ---------------------------------------------------------------------


def _object(file: LabelFile, text: str, where: str) -> Record:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.path}, {where}: no JSON ({error}); mend the line") from None
    if not isinstance(record, dict):
        raise InputError(
            f"{file.path}, {where}: a {type(record).__name__}, where a JSON object was expected; "
            "write one a picture"
        )
    return record


def _sheet(file: LabelFile, records: list[Record], numbers: list[int], unit: str) -> Sheet:
    flat = [dict(_flat(record)) for record in records]
    # All keys, in the order in which they come up.
    headers = list(dict.fromkeys(key for record in flat for key in record))
    rows = [[record.get(header, "") for header in headers] for record in flat]
    return Sheet(file, headers, rows, numbers, unit)


def _flat(record: Record, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys and their text; {"objects": {"category": 1}} has the key objects.category."""
    for key, value in record.items():
        name = f"{prefix}{key}".strip()
        if isinstance(value, dict):
            # {"labels": {"cat": true}} has the label cat.
            yield from _flat(value, "" if _is_of_marks(name, value) else f"{name}.")
        else:
            yield name, _text(value)


def _is_of_marks(name: str, value: Record) -> bool:
    is_of_numbers = all(each is None or isinstance(each, int | float) for each in value.values())
    return label_family(name) is not None and is_of_numbers


def _text(value: Any) -> str:
    """As a table of text has it: nothing for null, JSON for a list."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return "(bytes)"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


# ---- Hugging Face --------------------------------------------------------------------------------


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """The names of the classes of each column that holds their numbers."""
    if HUGGING_FACE not in metadata:
        return {}
    features = json.loads(metadata[HUGGING_FACE]).get("info", {}).get("features", {})
    names = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
            names[column] = inner["names"]
    return names


def _name_classes(records: list[Record], names_of_column: dict[str, list[str]]) -> None:
    """Puts names in the place of numbers."""
    for column, names in names_of_column.items():
        for record in records:
            value = record[column]
            if isinstance(value, list):
                record[column] = [names[number] for number in value]
            elif value is not None:
                record[column] = names[value]
