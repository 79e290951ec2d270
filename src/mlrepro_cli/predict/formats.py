"""How answers are written: a class a format, each with the file it writes to and `write`."""

import csv
import json
from typing import TextIO


class JsonLines:
    """An answer a line, as it is."""

    def __init__(self, file: TextIO, classes: list[str]):
        self._file = file

    def write(self, answer: dict) -> None:
        self._file.write(json.dumps(answer, ensure_ascii=False) + "\n")


class CsvTable:
    """A row a picture: its labels in one field, and a column of scores a class."""

    def __init__(self, file: TextIO, classes: list[str]):
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
