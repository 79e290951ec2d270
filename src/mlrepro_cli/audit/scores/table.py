"""Scores in a table: a column a class, or a row a picture and class; also what `predict` writes."""

import numpy as np
import pyarrow

from mlrepro.audit.picture_ids import shown
from mlrepro.audit.tables import ScoreTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.boxes import BestBoxes
from mlrepro_cli.audit.files import Place
from mlrepro_cli.audit.tables import NUMBER, Table, first_called, plain, read_table

# Headers of a table with a row a picture and class, as `plain` writes them.
CLASS_HEADERS = ("class", "classname", "label", "labelname", "category", "categoryname", "tag")
CLASS_HEADERS += ("categoryid", "classid")
SCORE_HEADERS = ("score", "scores", "confidence", "conf", "prob", "probability", "logit")

# Numbers of pictures that are no scores.
NOT_SCORES = ("split", "width", "height", "fold", "index", "rank")
LOOKED_AT = 1000


def read(place: Place) -> ScoreTable:
    table = read_table(place.path)
    label = first_called([*table.textual, *table.numeric], CLASS_HEADERS)
    score = first_called(table.numeric, SCORE_HEADERS)
    if label and score:
        return _of_long(table, label, score)
    if table.lists:
        return _of_lists(table)
    return _of_wide(table)


def _of_long(table: Table, label: str, score: str) -> ScoreTable:
    """A row a picture and class; of several of both the highest counts."""
    boxes = BestBoxes()
    scores = table.numbers([score])[:, 0].tolist()
    labels = [str(value) for value in table.columns[label].to_pylist()]
    for picture, name, value in zip(table.ids, labels, scores, strict=True):
        boxes.add(picture, name, value)
    return boxes.table(table.source, [f"A row a picture and class ({label}, {score})."])


def _of_lists(table: Table) -> ScoreTable:
    """One column of lists, a score a class in each."""
    [name, *others] = table.lists
    if others:
        raise InputError(f"{table.source}: several columns of lists: {', '.join(table.lists)}")
    column = table.columns[name].combine_chunks()
    lengths = {len(row) for row in column.to_pylist() if row is not None}
    if len(lengths) != 1 or column.null_count:
        raise InputError(
            f"{table.source}: lists of different lengths in {name!r}: {sorted(lengths)}; give a "
            "score a class in each row"
        )
    flat = column.flatten().cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
    return ScoreTable(table.source, table.ids, None, flat.reshape(len(table.ids), lengths.pop()))


def _of_wide(table: Table) -> ScoreTable:
    """A column a class. Pictures without any score, as predict's unreadable ones, are left out."""
    _check_text_columns(table)
    names = [name for name in table.numeric if plain(name) not in NOT_SCORES]
    # An empty column of text, such as predict's `error` where there was none.
    empty = [name for name in names if pyarrow.types.is_null(table.columns.schema.field(name).type)]
    names = [name for name in names if name not in empty]
    if not names:
        raise InputError(
            f"{table.source}: no column of numbers beside the pictures; its columns: "
            f"{', '.join(table.columns.column_names)}"
        )

    values = table.numbers(names)
    notes = []
    passed_over = table.textual + empty
    if passed_over:
        notes.append(f"Columns that hold no scores: {shown(passed_over)}.")
    without = np.isnan(values).all(axis=1)
    if without.any():
        notes.append(
            f"{without.sum():,} rows without a score: "
            f"{shown([table.ids[row] for row in np.flatnonzero(without)])}."
        )
    return ScoreTable(
        source=table.source,
        ids=[name for name, is_without in zip(table.ids, without, strict=True) if not is_without],
        classes=names if table.has_header else None,
        values=values[~without] if without.any() else values,
        notes=notes,
    )


def _check_text_columns(table: Table) -> None:
    """Raises InputError for a column that is text because of a few cells that are no numbers."""
    for name in table.textual:
        cells = table.text(name)
        some = [cell for cell in cells if cell][:LOOKED_AT]
        numbers = sum(bool(NUMBER.fullmatch(cell.strip())) for cell in some)
        if 2 * numbers <= len(some):
            continue
        row = next(row for row, cell in enumerate(cells) if not NUMBER.fullmatch(cell.strip()))
        raise InputError(
            f"{table.source}: {cells[row]!r} in the column {name!r} of {table.ids[row]} is no "
            "number; mend it"
        )
