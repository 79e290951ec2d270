"""Detections as scores of pictures: the best box of each picture and class."""

from array import array

import numpy as np

from mlrepro.audit.join import lowest_score
from mlrepro.audit.tables import ScoreTable


class BestBoxes:
    """Boxes one after the other, in compact arrays: a file may have tens of millions."""

    def __init__(self):
        self._rows: dict[str, int] = {}
        self._columns: dict[str, int] = {}
        self._row = array("l")
        self._column = array("l")
        self._score = array("d")

    def add(self, picture: str, label: str, score: float) -> None:
        self._row.append(self._rows.setdefault(picture, len(self._rows)))
        self._column.append(self._columns.setdefault(label, len(self._columns)))
        self._score.append(score)

    def add_label(self, label: str) -> None:
        """One that may have no box."""
        self._columns.setdefault(label, len(self._columns))

    def __len__(self) -> int:
        return len(self._score)

    def table(self, source: str, notes: list[str]) -> ScoreTable:
        """Where a picture has no box of a class, the lowest score that there is."""
        rows = np.asarray(self._row)
        columns = np.asarray(self._column)
        scores = np.asarray(self._score)
        values = np.full((len(self._rows), len(self._columns)), -np.inf)
        np.maximum.at(values, (rows, columns), scores)

        without_box = np.ones(values.shape, bool)
        without_box[rows, columns] = False
        lowest = lowest_score(scores[np.isfinite(scores)])
        values[without_box] = lowest
        counted = (
            f"{len(scores):,} boxes: the best of each picture and class counts, none is {lowest:g}."
        )
        return ScoreTable(
            source=source,
            ids=list(self._rows),
            classes=list(self._columns),
            values=values,
            is_detection=True,
            notes=[counted, *notes],
        )
