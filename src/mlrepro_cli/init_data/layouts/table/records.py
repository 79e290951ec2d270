"""Records of other programs: lines of JSON, a JSON list, Parquet."""

import io
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.headers import label_family
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.text import decode
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.init_data.split_words import split_word
from mlrepro_cli.pictures import is_picture

Record = dict[str, Any]

# Where Hugging Face's `datasets` keeps the names of numbered classes.
HUGGING_FACE = b"huggingface"
# Its number of the class of a picture that nobody has labelled.
NOT_LABELLED = -1


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
    """A list of objects, or what else holds a row a picture; none for JSON of any other kind."""
    text, _ = decode(file.path, content, file.answers.encoding)
    try:
        records = as_records(parse(text), file.pictures)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.path}: no JSON ({error}); mend it or move it away") from None
    if records is None:
        return None
    return _sheet(file, records, list(range(1, len(records) + 1)), "record")


def read_parquet(file: LabelFile, content: bytes) -> Sheet:
    import pyarrow
    from pyarrow import parquet

    from mlrepro_cli.unpack.embedded import picture_columns

    try:
        source = parquet.ParquetFile(io.BytesIO(content))
        embedded = picture_columns(source)
        table = source.read([name for name in source.schema_arrow.names if name not in embedded])
        records = table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{file.path}: no Parquet ({reason}); write it again") from None

    _refuse_embedded(file, embedded)
    features = _features(table.schema.metadata or {})
    _name_classes(file, records, features)
    sheet = _sheet(file, records, list(range(1, len(records) + 1)), "row")
    return replace(sheet, whole=_of_one_class(features))


def parse(text: str) -> Any:
    """JSON, also lines of it in a file that is called as one of JSON. Raises ValueError."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            # What is damaged is told of the whole.
            pass
        raise


# ---- JSON as records -----------------------------------------------------------------------------


def as_records(content: Any, pictures: Sequence[str]) -> list[Record] | None:
    """The rows of JSON in any of the forms that pandas and people write; none of another kind."""
    if isinstance(content, list):
        return content if all(isinstance(record, dict) for record in content) else None
    if not isinstance(content, dict) or not content:
        return None

    # {"train": ["1.jpg", ...], "val": [{"image": "2.jpg", "labels": [...]}, ...]}
    if len(content) > 1 and all(map(split_word, content)):
        return _of_parts(content, pictures)

    # {"1.jpg": {"labels": [...]}} and {"1": ["cat"]}: the keys are pictures.
    if _are_pictures(content, pictures):
        return _of_pictures(content)

    # {"cat": ["cat/1", ...]}, as Food-101 has it.
    lists = [value for value in content.values() if isinstance(value, list)]
    if len(lists) == len(content) and all(_are_names(value, pictures) for value in lists):
        labels: dict[str, list[str]] = {}
        for label, names in content.items():
            for name in names:
                labels.setdefault(name, []).append(label)
        return [{"image": name, "labels": of_name} for name, of_name in labels.items()]
    return _of_columns(content) or _below_one_key(content, pictures)


def _of_pictures(content: Record) -> list[Record]:
    records = []
    for name, value in content.items():
        said = value if isinstance(value, dict) else {"labels": value}
        records.append({"image": name, **said})
    return records


def _of_parts(content: Record, pictures: Sequence[str]) -> list[Record] | None:
    """Names of pictures, or records, in lists by part, or by the names of pictures."""
    records = []
    for part, entries in content.items():
        if isinstance(entries, dict) and _are_pictures(entries, pictures):
            entries = _of_pictures(entries)
        if not isinstance(entries, list):
            return None
        for entry in entries:
            record = entry if isinstance(entry, dict) else {"image": entry}
            records.append({**record, "split": part})
    return records


def _of_columns(content: Record) -> list[Record] | None:
    """pandas' other forms."""
    # {"columns": [...], "data": [[...], ...]}
    rows = content.get("data")
    headers = content.get("columns")
    if isinstance(headers, list) and isinstance(rows, list):
        headers = [str(header) for header in headers]
        if all(isinstance(row, list) and len(row) == len(headers) for row in rows):
            return [dict(zip(headers, row, strict=True)) for row in rows]

    columns = list(content.values())
    if len(columns) < 2:
        return None

    # {"image": {"0": "1.jpg"}, "labels": {"0": "cat"}}
    if all(isinstance(column, dict) for column in columns):
        if all(set(column) == set(columns[0]) for column in columns):
            return [{key: content[key][row] for key in content} for row in columns[0]]

    # {"image": ["1.jpg"], "labels": ["cat"]}
    if all(isinstance(column, list) for column in columns):
        if len({len(column) for column in columns}) == 1:
            return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]
    return None


def _below_one_key(content: Record, pictures: Sequence[str]) -> list[Record] | None:
    """{"version": 1, "data": [{...}, ...]}, or {"data": {"1.jpg": {...}, ...}}."""
    lists = [value for value in content.values() if isinstance(value, list) and value]
    if len(lists) == 1 and all(isinstance(record, dict) for record in lists[0]):
        return lists[0]
    objects = [value for value in content.values() if isinstance(value, dict) and value]
    if len(objects) == 1 and not lists and _are_pictures(objects[0], pictures):
        return _of_pictures(objects[0])
    return None


def _are_names(entries: list, pictures: Sequence[str]) -> bool:
    """Whether a list is of names of pictures."""
    are_texts = bool(entries) and all(isinstance(entry, str) for entry in entries)
    return are_texts and _are_pictures(entries, pictures)


def _are_pictures(names: Iterable[str], pictures: Sequence[str]) -> bool:
    """Whether most are names of pictures, with their suffix or without."""
    names = list(names)
    stems = {stem(picture.rpartition("/")[2]).casefold() for picture in pictures}
    known = [
        name for name in names if is_picture(name) or name.rpartition("/")[2].casefold() in stems
    ]
    # A few small numbers are rather those of classes.
    are_numbers = all(map(str.isdecimal, names))
    if are_numbers and len(names) <= len(pictures) / 2:
        return False
    return len(known) > len(names) / 2


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


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What `datasets` says of each column; nothing for a file of another program."""
    if HUGGING_FACE not in metadata:
        return {}
    return json.loads(metadata[HUGGING_FACE]).get("info", {}).get("features", {})


def _of_one_class(features: dict[str, Any]) -> frozenset[str]:
    """Columns that hold the number of one class a row, whose name is then one label."""
    return frozenset(
        column
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    )


def _name_classes(file: LabelFile, records: list[Record], features: dict[str, Any]) -> None:
    """Puts names in the place of numbers of classes, and nothing where there is no number."""
    for column, feature in features.items():
        if '"ClassLabel"' not in json.dumps(feature):
            continue
        unlabelled = []
        for number, record in enumerate(records, start=1):
            value = record.get(column)
            if value == NOT_LABELLED:
                unlabelled.append(number)
                record[column] = None
                continue
            try:
                record[column] = _named(value, feature)
            except LookupError as error:
                raise InputError(
                    f"{file.path}, row {number}: column {column!r} holds {error}; write it again"
                ) from None

        # A part that nobody has labelled, such as a competition's test, is left out as a whole.
        if 0 < len(unlabelled) < len(records):
            raise InputError(
                f"{file.path}, row {unlabelled[0]}: column {column!r} holds {NOT_LABELLED}, by "
                f"which `datasets` says that nobody has labelled the picture, and so do "
                f"{len(unlabelled)} of {len(records)} rows; leave these rows out"
            )


def _named(value: Any, feature: Any) -> Any:
    """A value with names in the place of the numbers of classes in it, however deep.

    Raises LookupError for a number that has no name.
    """
    if isinstance(feature, list):
        feature = {"feature": feature[0]}
    if value is None or not isinstance(feature, dict):
        return value
    if feature.get("_type") == "ClassLabel":
        names = feature["names"]
        if not 0 <= value < len(names):
            raise LookupError(f"class {value}, and there are {len(names)} classes")
        return names[value]

    inner = feature.get("feature")
    if isinstance(value, list):
        return [_named(item, inner) for item in value]
    if isinstance(value, dict) and inner is None:
        return {key: _named(item, feature.get(key)) for key, item in value.items()}
    if isinstance(value, dict) and isinstance(inner, dict):
        # A sequence of objects is kept as an object of sequences.
        return {key: _named(item, {"feature": inner.get(key)}) for key, item in value.items()}
    return value


def _refuse_embedded(file: LabelFile, columns: list[str]) -> None:
    """Raises InputError for pictures that are in the table itself."""
    if columns:
        folder = shlex.quote(str(file.path.parent))
        raise InputError(
            f"{file.path}: column {columns[0]!r} holds the pictures themselves; "
            f"`mlrepro unpack {folder} --to FOLDER` writes them as files, which "
            "`mlrepro init-data FOLDER` reads"
        )
