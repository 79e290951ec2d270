"""The run id: one string for the run file, the DVC stage, the MLflow run, the record and the row.

    <head>-<loss>-<backbone>-<data set>[-single][-<resolution>[-<variant>]]

Its parts hold letters, digits and `_`. A dot would break DVC's parameters, a dash the id's own
grammar.
"""

import re
from typing import Literal

from mlrepro.settings.base import Strict

VALID = re.compile(r"[A-Za-z0-9_-]+")
FORM = re.compile(
    r"(?P<head>\w+)-(?P<loss>\w+)-(?P<backbone>\w+)-(?P<data>\w+)"
    r"(-(?P<labels>single))?"
    r"(-(?P<resolution>\d+)(-(?P<variant>\w+))?)?",
    re.ASCII,
)


class RunId(Strict):
    """The parts of a run id, named as the fields of a run file are.

    `labels: single`: one observed positive label a picture. `resolution`: pixels a side; none for
    captions alone.
    """

    head: str
    loss: str
    backbone: str
    data: str
    labels: Literal["full", "single"]
    resolution: int | None
    variant: str | None

    def __str__(self) -> str:
        parts = [self.head, self.loss, self.backbone, self.data]
        if self.labels != "full":
            parts.append(self.labels)
        if self.resolution:
            parts.append(str(self.resolution))
        if self.variant:
            parts.append(self.variant)
        return "-".join(parts)


def parse_run_id(text: str) -> RunId:
    """Splits a run id at its dashes. Raises ValueError that shows the form.

    A linear head alone may do without a resolution: it also reads captions, which have none.
    """
    match = FORM.fullmatch(text)
    if match is None or (match["resolution"] is None and match["head"] != "linear"):
        raise ValueError(
            f"run id {text!r} is not of the form "
            "<head>-<loss>-<backbone>-<data set>[-single]-<size>[-<variant>], "
            "its parts of letters, digits and '_'"
        )

    parts = match.groupdict()
    parts["labels"] = parts["labels"] or "full"
    return RunId(**parts)


def checked_run_id(text: str) -> str:
    """The same text. Raises ValueError where it is no run id."""
    parse_run_id(text)
    return text
