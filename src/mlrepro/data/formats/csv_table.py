"""A table with one row a picture: a user's own data set, or the captions study's (comp5329)."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlrepro.data.corruption import hold_out
from mlrepro.data.formats.catalogue import Format
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import picture_path, read_text, sort_names
from mlrepro.errors import InputError
from mlrepro.layout import OWN_TABLES
from mlrepro.settings.base import nearest
from mlrepro.settings.data import CsvData

# What a table may call a split, in small letters -> what we call it.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "development": "val",
    "test": "test",
    "testing": "test",
}
UNLABELLED = "unlabelled"  # part and split of pictures whose labels nobody has published

# Settings that name a column.
COLUMN_KEYS = (
    "image_column",
    "labels_column",
    "split_column",
    "caption_column",
    "unknown_column",
)
COLUMN_KEYS_UNLABELLED = ("image_column", "caption_column")


@dataclass
class Row:
    """One row of a table: where it stands, for messages, and its fields by column."""

    where: str
    fields: dict[str, str]
    part: str = ""  # what the table calls its split
    split: str = ""


def read(settings: CsvData, root: Path) -> Listing:
    """Rows in the order of the table, then those of the unlabelled one, whose classes are ignored.

    An empty label field is a picture without labels, an empty caption is none.
    """
    path = _table_file(settings, root)
    rows = _read_rows(settings, path, COLUMN_KEYS)
    _assign_splits(settings, path, rows)
    if settings.unlabelled:
        rows += _unlabelled_rows(settings, root / settings.unlabelled)

    # The classes are known only when all rows are, unless the settings list them.
    names = [_label_names(settings, row, settings.labels_column) for row in rows]
    unknown = [_label_names(settings, row, settings.unknown_column) for row in rows]
    used = {name for of_row in names + unknown for name in of_row}
    classes = settings.classes or sort_names(used)
    pictures = _pictures(settings, rows, names, unknown, classes)

    if settings.caption_column:
        without_caption = sum(not picture.captions for picture in pictures)
        if without_caption:
            print(f"{path.name}: {without_caption} of {len(rows)} rows have no caption and stay")
    return Listing(pictures, list(classes))


def _table_file(settings: CsvData, root: Path) -> Path:
    """The table, which may lie anywhere; in a repository that was moved, where it lies there."""
    path = root / settings.table
    moved = OWN_TABLES / path.name
    return moved if not path.exists() and moved.is_file() else path


def has_pictures(settings: CsvData) -> bool:
    """`pictures: null`: there are none, the captions are used alone."""
    return settings.pictures is not None


def _label_names(settings: CsvData, row: Row, column: str | None) -> list[str]:
    """The labels in one of a row's fields; none in a column that is not named."""
    if row.split == UNLABELLED or column is None:
        return []
    names = row.fields[column].split(settings.separator)
    return [name.strip() for name in names if name.strip()]


def _pictures(
    settings: CsvData,
    rows: list[Row],
    names: list[list[str]],
    unknown: list[list[str]],
    classes: list[str],
) -> list[ListedPicture]:
    class_index = {name: index for index, name in enumerate(classes)}
    pictures = []
    first_rows = {}  # picture -> where it stands first
    for row, of_row, unknown_of_row in zip(rows, names, unknown, strict=True):
        for name in of_row + unknown_of_row:
            if name not in class_index:
                raise InputError(f"{row.where}: unknown class {name!r}; {nearest(name, classes)}")

        # "./a.jpg" and "a.jpg" are one picture: compared as paths below the root.
        name = row.fields[settings.image_column].strip()
        image = picture_path(settings.pictures or ".", name, row.where)
        if image in first_rows:
            raise InputError(
                f"{row.where}: {image} is already in {first_rows[image]}; keep one row a picture"
            )
        first_rows[image] = row.where

        pictures.append(
            ListedPicture(
                image=image,
                part=row.part,
                split=row.split,
                labels=sorted({class_index[name] for name in of_row}),
                ignored=sorted({class_index[name] for name in unknown_of_row}),
                captions=_captions(settings, row),
                # No class is known to be absent, so that all are ignored.
                negatives=[] if row.split == UNLABELLED else None,
            )
        )
    return pictures


def _captions(settings: CsvData, row: Row) -> list[str]:
    if not settings.caption_column:
        return []
    caption = row.fields[settings.caption_column].strip()
    return [caption] if caption else []


def _unlabelled_rows(settings: CsvData, path: Path) -> list[Row]:
    rows = _read_rows(settings, path, COLUMN_KEYS_UNLABELLED)
    for row in rows:
        row.part = row.split = UNLABELLED
    return rows


def _read_rows(settings: CsvData, path: Path, column_keys: Sequence[str]) -> list[Row]:
    """Every row of a table that has the named columns; quoted fields hold commas and line ends."""
    text = read_text(path, "mend `table` or `unlabelled`, which are below the data set's folder")
    # Line ends within quotes stay as they are (newline=""), and stray quotes are errors (strict).
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        numbered = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}; a field that holds a quote is written in "
            "quotes, with the quotes in it doubled"
        ) from None

    for key in column_keys:
        column = getattr(settings, key)
        if column is not None and header.count(column) != 1:
            raise InputError(
                f"{path}: no column {column!r}, or more than one: mend the header or `{key}`; "
                f"{nearest(column, header)}"
            )
    # A comma in a field without quotes would move all later fields.
    for line, fields in numbered:
        if len(fields) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(fields)} fields where the header has {len(header)}; "
                f"put quotes around a field that holds a comma"
            )
    if not numbered:
        raise InputError(f"{path}: no rows; expected one a picture below the header")

    return [
        Row(where=f"{path}, line {line}", fields=dict(zip(header, fields, strict=True)))
        for line, fields in numbered
    ]


def _assign_splits(settings: CsvData, path: Path, rows: list[Row]) -> None:
    """Give every row the split that the table says, or that a seeded cut draws."""
    if settings.split_column is None:
        _cut_by_seed(settings, path, rows)
        return
    if settings.test_fraction is not None:
        raise InputError(
            f"{path}: `test_fraction` needs `split_column: null`; the table names its own splits"
        )

    for row in rows:
        name = row.fields[settings.split_column].strip()
        if name.lower() not in SPLITS:
            raise InputError(f"{row.where}: {name!r} is not a split; {nearest(name, list(SPLITS))}")
        row.part = name
        row.split = SPLITS[name.lower()]


def _cut_by_seed(settings: CsvData, path: Path, rows: list[Row]) -> None:
    if settings.test_fraction is None:
        raise InputError(
            f"{path}: `split_column: null` needs `test_fraction`, the share of the rows to test on"
        )

    train, test = hold_out(len(rows), settings.test_fraction, settings.test_seed)
    for name, numbers in (("train", train), ("test", test)):
        for number in numbers:
            rows[number].part = rows[number].split = name


FORMAT = Format(
    read=read,
    has_pictures=has_pictures,
    remedy="use the captions alone (`pictures: null`)",
)
