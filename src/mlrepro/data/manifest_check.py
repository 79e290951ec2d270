"""Is what was read a manifest? Its files may be changed by hand, or copied in part."""

from typing import Any

import pyarrow
from pyarrow import compute
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from mlrepro.settings.base import described

# Columns of class indices. Of a picture whose negatives are not known, there is none.
INDICES = ("labels", "difficult", "ignored", "negatives")
MAY_BE_NONE = ("negatives",)


class Rejected(BaseModel):
    """A picture that cannot be used, and its row before any was left out."""

    image: str
    reason: str
    row: int = Field(ge=0)
    split: str


class Summary(BaseModel):
    """What of summary.json is used."""

    pictures: str
    rejected: list[Rejected] = []


CLASSES = TypeAdapter(list[str])


def check_manifest(
    table: pyarrow.Table, schema: pyarrow.Schema, classes: Any, summary: Any
) -> None:
    """Raises ValueError that says which file is none, and why.

    schema: the columns that every manifest has. classes, summary: the content of their files.
    """
    try:
        CLASSES.validate_python(classes, strict=True)
        Summary.model_validate(summary, strict=True)
    except ValidationError as error:
        name = "summary.json" if error.title == "Summary" else "classes.json"
        raise ValueError(f"{name}:\n{described(error)}\n") from None

    for field in schema:
        _check_column(table, field)
    for name in INDICES:
        if name in table.column_names:
            _check_indices(table[name], name, len(classes))


def _check_column(table: pyarrow.Table, field: pyarrow.Field) -> None:
    if field.name not in table.column_names:
        raise ValueError(f"it has no column {field.name}")

    column = table[field.name]
    if column.type != field.type:
        raise ValueError(f"{field.name} holds {column.type}, not {field.type}")
    if column.null_count and field.name not in MAY_BE_NONE:
        raise ValueError(f"{field.name} is missing in {column.null_count} rows")


def _check_indices(column: pyarrow.ChunkedArray, name: str, classes: int) -> None:
    """An index below zero would be that of another class, without a word."""
    indices = compute.list_flatten(column)
    if indices.null_count:
        raise ValueError(f"{name} has {indices.null_count} indices that are missing")

    limits = compute.min_max(indices).as_py()
    for index in limits.values():
        if index is not None and not 0 <= index < classes:
            raise ValueError(
                f"{name} has the class index {index}, and there are {classes} classes, from 0"
            )
