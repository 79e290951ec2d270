"""A JSON object a picture, a line each or in one list; also what `mlrepro predict` writes.

{"image": "a.jpg", "scores": {"dog": 0.97, "cat": 0.01}}
{"image_id": 42, "scores": [0.97, 0.01]}
{"id": "a", "dog": 0.97, "cat": 0.01}
{"image": "b.jpg", "error": "not readable"}
{"image": "a.jpg", "label": "dog", "score": 0.97}
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlrepro.audit.picture_ids import count_of, shown
from mlrepro.audit.tables import ScoreTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.boxes import BestBoxes
from mlrepro_cli.audit.files import Place
from mlrepro_cli.audit.json_stream import objects
from mlrepro_cli.audit.scores.table import CLASS_HEADERS, SCORE_HEADERS
from mlrepro_cli.audit.tables import ID_HEADERS, plain

SCORES = ("scores", "predictions", "probabilities", "probs", "logits", "outputs")


@dataclass
class Rows:
    """Scores of pictures as they come. classes: of the first picture; none for lists."""

    source: str
    ids: list[str] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    classes: list[str] | None = None
    errors: list[str] = field(default_factory=list)

    def add(self, where: str, picture: str, scores: Any) -> None:
        if isinstance(scores, dict):
            if self.classes is None and not self.values:
                self.classes = list(scores)
            if self.classes is None or scores.keys() != set(self.classes):
                raise InputError(f"{where}: scores of other classes than the first picture has")
            scores = [scores[name] for name in self.classes]
        elif not isinstance(scores, list) or self.classes is not None:
            raise InputError(f"{where}: its scores are neither a list nor named by class")

        # JSON has no word for NaN: some write null.
        numbers = [np.nan if value is None else value for value in scores]
        try:
            row = np.array(numbers, np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{where}: scores that are no numbers; mend them") from None

        if row.ndim != 1 or self.values and len(row) != len(self.values[0]):
            raise InputError(f"{where}: {row.size} scores, and the first picture has others")

        self.ids.append(picture)
        self.values.append(row)

    def table(self) -> ScoreTable:
        notes = []
        if self.errors:
            unread = count_of(self.errors, "picture")
            notes.append(f"Without scores, for an error: {unread} ({shown(self.errors)}).")
        return ScoreTable(self.source, self.ids, self.classes, np.stack(self.values), notes=notes)


def read(place: Place) -> ScoreTable:
    rows = Rows(str(place))
    boxes = BestBoxes()
    for where, item in objects(place.path):
        picture, rest = _picture(where, item)
        label = _value(rest, CLASS_HEADERS)
        score = _value(rest, SCORE_HEADERS)
        if label is not None and isinstance(score, int | float):
            boxes.add(picture, str(label), score)
        elif rest.get("error"):
            rows.errors.append(picture)
        else:
            rows.add(where, picture, _scores(where, rest))

    if len(boxes) and rows.ids:
        raise InputError(f"{place}: some lines have all scores of a picture, others one alone")
    if len(boxes):
        return boxes.table(str(place), [])
    if not rows.ids:
        raise InputError(f"{place}: no scores in it")
    return rows.table()


def _picture(where: str, item: dict) -> tuple[str, dict]:
    """The picture's name, and the other fields."""
    by_plain = {plain(key): key for key in item}
    for name in ID_HEADERS:
        if name in by_plain:
            key = by_plain[name]
            return str(item[key]), {k: value for k, value in item.items() if k != key}
    raise InputError(f'{where}: names no picture; give it as "image"')


def _value(item: dict, headers: tuple[str, ...]) -> Any:
    for key, value in item.items():
        if plain(key) in headers:
            return value
    return None


def _scores(where: str, item: dict) -> dict | list:
    for key, value in item.items():
        if plain(key) in SCORES and isinstance(value, dict | list):
            return value
    flat = {
        key: value
        for key, value in item.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if not flat:
        raise InputError(f'{where}: no scores in it; give them as "scores"')
    return flat


def is_coco_box(item: dict) -> bool:
    return {"image_id", "category_id", "score"} <= item.keys()


def first_object(place: Place) -> dict | None:
    first: Iterator = objects(place.path)
    return next((item for _, item in first), None)
