"""A table with one row a picture: a user's own data set, or that of a course (comp5329)."""

import csv
import io
from pathlib import Path

from mlrepro.data.corruption import hold_out
from mlrepro.data.formats import Listing, picture_path, read_text, sort_names, table
from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro.settings.data import CsvData

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(settings: CsvData, root: Path) -> Listing:
    """Rows in the order of the table, then those of the unlabelled one, of which every class is ignored. An empty label field is
    a picture without labels, an empty caption is none."""
    path = root / settings.table
    records = _records(
        settings, path, ("image_column", "labels_column", "split_column", "caption_column")
    )
    splits = _splits(settings, path, records)
    if settings.unlabelled:
        others = _records(settings, root / settings.unlabelled, ("image_column", "caption_column"))
        records += [(where, record | {settings.labels_column: ""}) for where, record in others]
        splits += [("unlabelled", "unlabelled")] * len(others)
    names = [
        [
            name.strip()
            for name in record[settings.labels_column].split(settings.separator)
            if name.strip()
        ]
        for _, record in records
    ]
    classes = settings.classes or sort_names({name for of_row in names for name in of_row})
    index = {name: position for position, name in enumerate(classes)}
    rows, seen = [], {}
    for (where, record), of_row, (part, split) in zip(records, names, splits, strict=True):
        for name in of_row:
            if name not in index:
                raise InputError(f"{where}: unknown class {name!r}; {nearest(name, classes)}")
        image = picture_path(settings.pictures or ".", record[settings.image_column].strip(), where)
        if image in seen:
            raise InputError(
                f"{where}: {image} is already in {seen[image]}; keep one row a picture"
            )
        seen[image] = where
        caption = record[settings.caption_column].strip() if settings.caption_column else ""
        labels = sorted({index[name] for name in of_row})
        rows.append((image, part, split, labels, [], [], [caption] if caption else []))
    if settings.caption_column and (empty := sum(not captions for *_, captions in rows)):
        print(f"{path.name}: {empty} of {len(rows)} rows have no caption and stay")
    frame = table(rows)
    if settings.unlabelled:
        frame["negatives"] = [[] if split == "unlabelled" else None for _, split in splits]
    return frame, list(classes)


def _records(
    settings: CsvData, path: Path, keys: tuple[str, ...]
) -> list[tuple[str, dict[str, str]]]:
    """(file and line, column -> field) of every row. Quoted fields may hold commas, quotes and line ends."""
    text = read_text(path, "mend `table` or `unlabelled`, which are below the data set's folder")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}; a field that holds a quote is written in quotes, "
            f"with the quotes in it doubled"
        ) from None
    for key in keys:
        column = getattr(settings, key)
        if column is not None and header.count(column) != 1:
            raise InputError(
                f"{path}: no column {column!r}, or more than one: mend the header or `{key}`; "
                f"{nearest(column, header)}"
            )
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; "
                f"put quotes around a field that holds a comma"
            )
    if not rows:
        raise InputError(f"{path}: no rows; expected one a picture below the header")
    return [(f"{path}, line {line}", dict(zip(header, row, strict=True))) for line, row in rows]


def _splits(settings: CsvData, path: Path, records) -> list[tuple[str, str]]:
    """(part, split) of every row: what the table says, or a seeded cut."""
    if settings.split_column is None:
        if settings.test_fraction is None:
            raise InputError(
                f"{path}: `split_column: null` needs `test_fraction`, the share of the rows to test on"
            )
        _, test = hold_out(len(records), settings.test_fraction, settings.test_seed)
        test = set(test.tolist())
        return [
            ("test", "test") if row in test else ("train", "train") for row in range(len(records))
        ]
    if settings.test_fraction is not None:
        raise InputError(
            f"{path}: `test_fraction` needs `split_column: null`; the table names its own splits"
        )
    splits = []
    for where, record in records:
        name = record[settings.split_column].strip()
        if name.lower() not in SPLITS:
            raise InputError(f"{where}: {name!r} is not a split; {nearest(name, list(SPLITS))}")
        splits.append((name, SPLITS[name.lower()]))
    return splits
