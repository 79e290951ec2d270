"""A table with one row a picture: a user's own data set, or that of a course (comp5329)."""

from __future__ import annotations

import csv
import io
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from mlrepro.config import CsvData, nearest
from mlrepro.data.corruption import hold_out
from mlrepro.data.formats import COLUMNS, read_text
from mlrepro.errors import InputError

if TYPE_CHECKING:
    import pandas

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(settings: CsvData, root: Path) -> tuple[pandas.DataFrame, list[str]]:
    """Rows in the order of the table. An empty label field is a picture without labels."""
    import pandas

    path = root / settings.table
    records = _records(settings, path)
    names = [[name.strip() for name in record[settings.labels_column].split(settings.separator) if name.strip()]
             for _, record in records]
    classes = settings.classes or _sorted({name for of_row in names for name in of_row})
    index = {name: position for position, name in enumerate(classes)}
    splits = _splits(settings, path, records)
    rows, seen = [], {}
    for (line, record), of_row, (part, split) in zip(records, names, splits, strict=True):
        for name in of_row:
            if name not in index:
                raise InputError(f"{path}, line {line}: unknown class {name!r}; {nearest(name, classes)}")
        image = _image(settings, path, line, record[settings.image_column].strip())
        if image in seen:
            raise InputError(f"{path}, line {line}: {image} is already in line {seen[image]}; keep one row a picture")
        seen[image] = line
        caption = record[settings.caption_column].strip() if settings.caption_column else ""
        labels = sorted({index[name] for name in of_row})
        rows.append((image, part, split, labels, [], [], [caption] if caption else []))
    return pandas.DataFrame(rows, columns=COLUMNS), list(classes)


def _records(settings: CsvData, path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, column -> field) of every row. Quoted fields may hold commas, quotes and line ends."""
    text = read_text(path, "give the name of the table below the data set's folder as `table`")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; a field that holds a quote is written in quotes, "
                         f"with the quotes in it doubled") from None
    for key in ("image_column", "labels_column", "split_column", "caption_column"):
        column = getattr(settings, key)
        if column is not None and header.count(column) != 1:
            raise InputError(f"{path}: no column {column!r}, or more than one: mend the header or `{key}`; "
                             f"{nearest(column, header)}")
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; "
                             f"put quotes around a field that holds a comma")
    if not rows:
        raise InputError(f"{path}: no rows; expected one a picture below the header")
    return [(line, dict(zip(header, row, strict=True))) for line, row in rows]


def _splits(settings: CsvData, path: Path, records) -> list[tuple[str, str]]:
    """(part, split) of every row: what the table says, or a seeded cut."""
    if settings.split_column is None:
        if settings.test_fraction is None:
            raise InputError(f"{path}: `split_column: null` needs `test_fraction`, the share of the rows to test on")
        _, test = hold_out(len(records), settings.test_fraction, settings.test_seed)
        test = set(test.tolist())
        return [("test", "test") if row in test else ("train", "train") for row in range(len(records))]
    if settings.test_fraction is not None:
        raise InputError(f"{path}: `test_fraction` needs `split_column: null`; the table names its own splits")
    splits = []
    for line, record in records:
        name = record[settings.split_column].strip()
        if name.lower() not in SPLITS:
            raise InputError(f"{path}, line {line}: {name!r} is not a split; {nearest(name, list(SPLITS))}")
        splits.append((name, SPLITS[name.lower()]))
    return splits


def _image(settings: CsvData, path: Path, line: int, name: str) -> str:
    image = posixpath.normpath(posixpath.join(settings.pictures, name))
    if not name or image.startswith(("/", "../")):
        raise InputError(f"{path}, line {line}: {name!r} is not the name of a picture below {settings.pictures!r}")
    return image


def _sorted(names: set[str]) -> list[str]:
    """By number where every label is one, else by text."""
    return sorted(names, key=lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else sorted(names)
