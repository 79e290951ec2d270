"""How answers are written: a class a format, each with the file it writes to and `write`."""

import csv
import json
import re
from typing import TextIO

from mlrepro.terminal import STEERING, Visible


class JsonLines:
    """An answer a line, as it is: JSON has another way to write what would steer a terminal."""

    def __init__(self, file: TextIO, classes: list[str]):
        self._file = file

    def write(self, answer: dict) -> None:
        text = json.dumps(answer, ensure_ascii=False)
        self._file.write(STEERING.sub(_as_json_writes_it, text) + "\n")


def _as_json_writes_it(match: re.Match) -> str:
    return f"\\u{ord(match[0]):04x}"


class CsvTable:
    """A row a picture: its labels in one field, and a column of scores a class.

    A file holds labels and names as they are, a terminal shows them as `visible` does.
    """

    def __init__(self, file: TextIO, classes: list[str]):
        if file.isatty():
            file = Visible(file)
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(["image", "error", "labels", *classes])

    def write(self, answer: dict) -> None:
        labels = "|".join(answer.get("labels", []))
        scores = answer.get("scores", {}).values()
        self._rows.writerow([answer["image"], answer.get("error"), labels, *scores])


FORMATS = {
    "jsonl": JsonLines,
    "csv": CsvTable,
}
