"""How answers are written: a class a format, with `write` for each answer and `end` for the last.

A format that other programs read has no place for a picture that could not be read: it is left out
there, and told at the end as always.
"""

import csv
import json
import os
import re
from pathlib import Path
from typing import TextIO
from urllib.parse import quote
from xml.etree import ElementTree

from mlrepro.terminal import STEERING, Visible


class JsonLines:
    """An answer a line, as it is: JSON has another way to write what would steer a terminal."""

    def __init__(self, file: TextIO, classes: list[str]):
        self._file = file

    def write(self, answer: dict) -> None:
        self._file.write(_json(answer) + "\n")

    def end(self) -> None:
        pass


def _json(value) -> str:
    return STEERING.sub(_as_json_writes_it, json.dumps(value, ensure_ascii=False))


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

    def end(self) -> None:
        pass


class FiftyOne:
    """labels.json of FiftyOne's `fo.types.FiftyOneImageClassificationDataset`.

    A list of classifications a picture, by its absolute path: what it is given, each with its score
    as confidence. Read by `fo.Dataset.from_dir(labels_path=FILE, data_path=FOLDER, ...)`.
    """

    def __init__(self, file: TextIO, classes: list[str]):
        self._file = file
        self._before = "\n"
        file.write(f'{{"classes": {_json(classes)}, "labels": {{')

    def write(self, answer: dict) -> None:
        if "error" in answer:
            return
        given = [
            {"label": label, "confidence": answer["scores"][label]} for label in answer["labels"]
        ]
        picture = os.path.abspath(answer["image"])
        self._file.write(f"{self._before}{_json(picture)}: {_json(given)}")
        self._before = ",\n"

    def end(self) -> None:
        self._file.write("\n}}\n")


class LabelStudio:
    """Tasks of Label Studio with a prediction each, for a labelling interface as `interface` says.

    Pictures are local files below the document root / (see docs/own-data.md). A prediction's score
    is that of its least sure decision, so that sorting by it shows first what to look at.
    """

    def __init__(self, file: TextIO, classes: list[str]):
        self._file = file
        self._before = "\n"
        file.write("[")
        # Beside a file, not beside a terminal or a pipe.
        if isinstance(file.name, str):
            path = Path(file.name.removesuffix(".partial")).with_suffix(".interface.xml")
            path.write_text(interface(classes), encoding="utf-8")

    def write(self, answer: dict) -> None:
        if "error" in answer:
            return
        path = os.path.abspath(answer["image"]).lstrip("/")
        task = {
            "data": {"image": f"/data/local-files/?d={quote(os.fsencode(path))}"},
            "predictions": [_prediction(answer)],
        }
        self._file.write(self._before + _json(task))
        self._before = ",\n"

    def end(self) -> None:
        self._file.write("\n]\n")


def _prediction(answer: dict) -> dict:
    choices = {
        "id": "labels",
        "from_name": "labels",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": answer["labels"]},
    }
    return {
        "model_version": "mlrepro",
        "score": min(max(score, 1 - score) for score in answer["scores"].values()),
        "result": [choices] if answer["labels"] else [],
    }


def interface(classes: list[str]) -> str:
    """The labelling interface of these labels, as Label Studio's settings take it."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image")
    choices = ElementTree.SubElement(
        view, "Choices", name="labels", toName="image", choice="multiple"
    )
    for name in classes:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


FORMATS = {
    "jsonl": JsonLines,
    "csv": CsvTable,
    "fiftyone": FiftyOne,
    "label-studio": LabelStudio,
}
