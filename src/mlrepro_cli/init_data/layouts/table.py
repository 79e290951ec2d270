"""A table, .csv or .tsv: a row a picture, or a row a picture and label, below a header."""

import csv
import io
import re
from collections.abc import Iterable, Iterator

from mlrepro.data.formats import read_text
from mlrepro.data.formats.csv_table import SPLITS
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.pictures import is_picture

NAME = "a table"
# What a table is called, and what may stand between its fields.
SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",\t;"
# What may be between the labels of a field, likeliest first.
SEPARATORS = "|;,\t"
# How people head the columns.
LABEL_HEADERS = ("labels", "label", "tags", "tag", "classes", "class", "categories", "category")
SPLIT_HEADERS = ("split", "set", "subset", "fold")

Row = dict[str, str]


def matches(file: LabelFile) -> bool:
    return file.place.endswith(SUFFIXES)


def read(file: LabelFile) -> Iterator[LabelRow]:
    """Guesses the columns and what is between labels, and prints the guess.

    The column of pictures is known by the first row's field, which ends as a picture does; those of
    labels and split by their headers. Nothing for a table without pictures or labels.
    """
    rows = _rows(file)
    if not rows:
        return

    # What a header means does not depend on large letters or spaces around it.
    columns = {str(header).strip().lower(): header for header in rows[0]}
    image_column = _picture_column(columns.values(), rows[0])
    label_column = _column(columns, LABEL_HEADERS)
    split_column = _column(columns, SPLIT_HEADERS)
    if not image_column or not label_column:
        return

    _check_rows(rows, split_column)
    separator = _separator([row[label_column].strip() for row in rows])
    print(
        f"{file.path}: pictures in column {image_column!r}, labels in {label_column!r} with "
        f"{[separator] if separator else []} between them, split in {split_column!r}"
    )

    for row in rows:
        image = row[image_column].strip()
        split = SPLITS[row[split_column].strip().lower()] if split_column else file.split
        for label in _labels(row[label_column], separator):
            yield LabelRow(image, split, label)


def _rows(file: LabelFile) -> list[Row]:
    text = read_text(file.path, "")
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def _picture_column(headers: Iterable[str], first_row: Row) -> str | None:
    for header in headers:
        if is_picture(str(first_row[header]).strip()):
            return header
    return None


def _column(columns: dict[str, str], wanted: tuple[str, ...]) -> str | None:
    for name in wanted:
        if name in columns:
            return columns[name]
    return None


def _check_rows(rows: list[Row], split_column: str | None) -> None:
    """Raises ValueError, which names the line of the first bad row."""
    for line, row in enumerate(rows, start=2):
        # DictReader's marks: fields beyond the header are under None, those that lack are None.
        complete = None not in row and None not in row.values()
        if complete and split_column:
            complete = row[split_column].strip().lower() in SPLITS
        if not complete:
            raise ValueError(
                f"row {line} has other fields than the header, or a split that is none of "
                f"{', '.join(SPLITS)}"
            )


def _separator(fields: list[str]) -> str | None:
    """What is between labels; none where each field is one label."""
    different = set(fields) - {""}
    for mark in SEPARATORS:
        if any(mark in field for field in different):
            return mark

    # With more words than different fields, words are parts of names, as in `polar bear`.
    words = {word for field in different for word in field.split()}
    return " " if len(words) <= len(different) else None


def _labels(field: str, separator: str | None) -> list[str]:
    """The labels of a field, spaces and all."""
    if separator is None:
        return [field]
    return re.split(f"{re.escape(separator)} ?", field)
