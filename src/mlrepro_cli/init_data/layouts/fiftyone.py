"""Exports of FiftyOne: `labels.json` beside `data/`, or `samples.json` of a whole data set."""

from collections.abc import Iterator
from typing import Any

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, unlabelled
from mlrepro_cli.init_data.split_words import split_word

NAME = "FiftyOne's export"
LABELS = ("Classification", "Classifications", "Detections", "Detection", "Polylines")


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict):
        return False
    samples = content.get("samples")
    if isinstance(samples, list):
        return bool(samples) and isinstance(samples[0], dict) and "filepath" in samples[0]
    labels = content.get("labels")
    if not isinstance(labels, dict):
        return False
    # Columns of a table, one of which is called labels.
    others = [value for key, value in content.items() if key != "labels"]
    if any(isinstance(value, dict) and set(value) == set(labels) for value in others):
        return False
    # Classes may be left out where labels are names.
    return isinstance(content.get("classes", []), list | None)


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    if "samples" in content:
        yield from _samples(file, content["samples"])
        return

    classes = content.get("classes")
    _refuse_predictions(file, list(content["labels"].values()))
    for name, value in content["labels"].items():
        if value is None:
            yield unlabelled(name, file.split)
            continue
        for label in _named(value, classes, name) or [""]:
            yield LabelRow(name, file.split, label)


def _refuse_predictions(file: LabelFile, values: list) -> None:
    """Raises Question where labels have a network's confidence, unless the user named the file."""
    found = list(_confidences(values))
    if found and not (file.given or file.answers.label_columns):
        raise Question(
            f"{file.path}: its labels have confidences such as {found[0]:g}, as predictions of a "
            "network have. Move it away, or name the field of labels with --labels-column, or, "
            f"where these are labels, the file: mlrepro init-data {file.path}"
        )


def _confidences(value: Any) -> Iterator[float]:
    """Those of labels that are not sure, however deep."""
    if isinstance(value, list):
        for entry in value:
            yield from _confidences(entry)
    elif isinstance(value, dict):
        confidence = value.get("confidence")
        if isinstance(confidence, float) and confidence < 1:
            yield confidence
        for entry in value.values():
            if isinstance(entry, list):
                yield from _confidences(entry)


def _named(value: Any, classes: list[str] | None, name: str) -> list[str]:
    """Names of a label: a name, its place in classes, an object with one, or a list of these."""
    if isinstance(value, list):
        found = [label for entry in value for label in _named(entry, classes, name)]
        return sorted(set(found))
    if isinstance(value, dict):
        return _named(value["label"], classes, name)
    if isinstance(value, int) and classes:
        if not 0 <= value < len(classes):
            raise ValueError(f"{name} has label {value}, and there are {len(classes)} classes")
        return [str(classes[value])]
    if isinstance(value, str):
        return [value]
    raise ValueError(f"{name} has label {value!r}, which is no name, and no place in classes")


def _samples(file: LabelFile, samples: list[dict]) -> Iterator[LabelRow]:
    field = _field(file, samples)
    _refuse_predictions(file, [sample.get(field) for sample in samples])
    for sample in samples:
        # A tag may say the part.
        splits = [split_word(tag) for tag in sample.get("tags", []) if split_word(tag)]
        split = splits[0] if splits else file.split
        value = sample.get(field)
        if value is None:
            yield unlabelled(sample["filepath"], split)
            continue
        for label in _of_field(value) or [""]:
            yield LabelRow(sample["filepath"], split, label)


def _field(file: LabelFile, samples: list[dict]) -> str:
    """The field that holds labels. Raises Question for several."""
    fields = set()
    for sample in samples:
        for name, value in sample.items():
            if isinstance(value, dict) and value.get("_cls") in LABELS:
                fields.add(name)

    wanted = set(file.answers.label_columns) & fields
    if len(wanted or fields) == 1:
        return (wanted or fields).pop()
    if not fields:
        raise ValueError("no sample has a field of classifications or detections")
    raise Question(
        f"{file.path}: labels in several fields ({', '.join(sorted(fields))}); say which with "
        "--labels-column"
    )


def _of_field(value: dict) -> list[str]:
    for several in ("classifications", "detections", "polylines"):
        if several in value:
            return sorted({entry["label"] for entry in value[several]})
    return [value["label"]] if value.get("label") else []
