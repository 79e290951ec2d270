"""Scores and labels as a reader of one format gives them, before one is joined to the other."""

from dataclasses import dataclass, field

import numpy as np

# Entries of a label table.
POSITIVE = 1
NEGATIVE = 0
UNKNOWN = -1  # not judged under any protocol
DIFFICULT = 2  # there, but hard to see (VOC): a protocol says what it counts as


@dataclass(frozen=True)
class ScoreTable:
    """Scores of pictures.

    source:       the file, as messages name it.
    ids:          a picture a row; none where rows are those of a manifest (`manifest_sha256`).
    classes:      a name a column, or a COCO category number; none where the file names none.
    values:       (pictures, columns) float16, float32 or float64; NaN where the file says so.
    is_detection: whether these are the best boxes, so that a class without one has the lowest
                  score.
    notes:        what the reader had to assume, as sentences.
    """

    source: str
    ids: list[str] | None
    classes: list[str] | None
    values: np.ndarray
    is_detection: bool = False
    manifest_sha256: str | None = None
    split: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LabelTable:
    """Labels of pictures.

    states:          (pictures, classes) int8, each one of the four above.
    other_ids:       the same pictures by another name, such as their files' names.
    categories:      of COCO: a category number a class.
    manifest_sha256: of our own manifest, whose rows these are.
    other_splits:    pictures of the splits that were not asked for, by split.
    notes:           as those of scores.
    """

    source: str
    ids: list[str]
    classes: list[str]
    states: np.ndarray
    other_ids: list[str] | None = None
    categories: list[int] | None = None
    manifest_sha256: str | None = None
    other_splits: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
