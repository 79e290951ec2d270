"""Labels in a table: a column of 0 and 1 a class, a list in each row, or a row a label."""

import re
from dataclasses import replace

import numpy as np

from mlrepro.audit.picture_ids import shown
from mlrepro.audit.tables import DIFFICULT, NEGATIVE, POSITIVE, UNKNOWN, LabelTable
from mlrepro.data.formats.csv_table import SPLITS
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place
from mlrepro_cli.audit.tables import Table, first_called, read_table
from mlrepro_cli.init_data.layouts.table.headers import LABEL_HEADERS, SPLIT_HEADERS
from mlrepro_cli.init_data.layouts.table.separators import SEPARATORS


def read(place: Place, split: str | None) -> LabelTable:
    """Its classes are those of all splits, whichever is read."""
    table = read_table(place.path)
    lists = first_called([*table.textual, *table.lists], LABEL_HEADERS)
    labels = _of_labels(table, lists) if lists else _of_columns(table)

    column = first_called(table.textual, SPLIT_HEADERS)
    return labels if column is None else _of_split(labels, table, column, split)


def _of_split(labels: LabelTable, table: Table, column: str, split: str | None) -> LabelTable:
    """The pictures of the split that was asked for, else of test if there is one."""
    by_picture = {}
    for picture, name in zip(table.ids, table.text(column), strict=True):
        by_picture[picture] = SPLITS.get(name.strip().lower(), name.strip())
    known = sorted(set(by_picture.values()))
    wanted = split or ("test" if "test" in known else None)
    if wanted not in known:
        raise InputError(
            f"{table.source}: splits {', '.join(known)} in its column {column!r}; name one: --split"
        )

    by_split: dict[str, list[int]] = {name: [] for name in known}
    for row, picture in enumerate(labels.ids):
        by_split[by_picture[picture]].append(row)
    rows = by_split.pop(wanted)
    others = {name: [labels.ids[row] for row in rows] for name, rows in by_split.items()}
    return replace(
        labels,
        source=f"{labels.source} ({wanted})",
        ids=[labels.ids[row] for row in rows],
        states=labels.states[rows],
        other_splits=others,
    )


# ---- Names of labels -----------------------------------------------------------------------------


def _of_labels(table: Table, column: str) -> LabelTable:
    """A list of labels in each row, or a row a label."""
    if column in table.lists:
        fields = [[str(label) for label in row or []] for row in table.columns[column].to_pylist()]
        notes = []
    else:
        text = table.text(column)
        separator = _separator(text, is_long=len(set(table.ids)) < len(table.ids))
        fields = [_split_labels(field, separator) for field in text]
        between = f"{separator!r} between" if separator else "one in each field"
        notes = [f"Labels in the column {column!r}, {between}."]

    by_picture: dict[str, list[str]] = {}
    for picture, labels in zip(table.ids, fields, strict=True):
        by_picture.setdefault(picture, []).extend(labels)
    classes = sorted({label for labels in by_picture.values() for label in labels})
    if not classes:
        raise InputError(f"{table.source}: no label in the column {column!r}")

    place = {label: k for k, label in enumerate(classes)}
    states = np.full((len(by_picture), len(classes)), NEGATIVE, np.int8)
    for row, labels in enumerate(by_picture.values()):
        states[row, [place[label] for label in labels]] = POSITIVE
    return LabelTable(table.source, list(by_picture), classes, states, notes=notes)


def _separator(fields: list[str], is_long: bool) -> str | None:
    """What is between labels; none where each field is one label."""
    if is_long:
        return None
    different = set(fields) - {""}
    for mark in SEPARATORS:
        if any(mark in field for field in different):
            return mark
    # With more words than different fields, words are parts of names, as in `polar bear`.
    words = {word for field in different for word in field.split()}
    has_several = any(" " in field for field in different)
    return " " if has_several and len(words) <= len(different) else None


def _split_labels(field: str, separator: str | None) -> list[str]:
    parts = [field] if separator is None else re.split(re.escape(separator), field)
    return [part.strip() for part in parts if part.strip()]


# ---- Columns of classes --------------------------------------------------------------------------


def _of_columns(table: Table) -> LabelTable:
    names = table.numeric
    if not names:
        raise InputError(
            f"{table.source}: neither a column of labels ({', '.join(LABEL_HEADERS[:4])}) nor "
            f"columns of 0 and 1; its columns: {shown(table.columns.column_names)}"
        )
    states, notes = read_states(table.numbers(names), table.source)
    if not table.has_header:
        names = [str(place) for place in range(len(names))]
    return LabelTable(table.source, table.ids, names, states, notes=notes)


def read_states(values: np.ndarray, source: str) -> tuple[np.ndarray, list[str]]:
    """Labels as numbers, in one of the three codes that people use; and which one, as a note.

    0 and 1; -1 and 1; or three values: of -1 and 0 the one that is more frequent is negative, and
    the other ignored (ours) or difficult (VOC's). Raises InputError for any other number.
    """
    wrong = ~np.isin(values, (-1, 0, 1))
    if wrong.any():
        found = np.unique(values[wrong][:1000])
        are_scores = len(found) > 3
        question = "are scores and labels exchanged?" if are_scores else "mend them"
        raise InputError(
            f"{source}: {wrong.sum():,} of {values.size:,} labels are neither -1, 0 nor 1, such as "
            f"{', '.join(f'{value:g}' for value in found[:5])}; {question}"
        )

    states = np.full(values.shape, NEGATIVE, np.int8)
    states[values == 1] = POSITIVE
    zeros = int((values == 0).sum())
    minus = int((values == -1).sum())
    if not minus:
        return states, []
    if not zeros:
        return states, ["Labels of -1 are negative: there is no 0."]
    if minus > zeros:
        states[values == 0] = DIFFICULT
        return states, [f"Labels are VOC's: -1 is negative, 0 ({zeros:,}) difficult."]
    states[values == -1] = UNKNOWN
    return states, [f"Labels of -1 ({minus:,}) are not known, and left out."]
