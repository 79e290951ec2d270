"""Tasks of Label Studio, as its JSON and JSON-MIN exports have them.

Where annotators differ on a label, nobody knows it.
"""

import re
from collections import Counter
from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import (
    PRESENT,
    UNKNOWN,
    LabelFile,
    LabelRow,
    unlabelled,
)
from mlrepro_cli.pictures import is_picture

NAME = "Label Studio's tasks"
# Fields of JSON-MIN that hold no label.
ABOUT_THE_TASK = (
    "id annotator annotation_id created_at updated_at lead_time agreement file_upload".split()
)
# Where a region or a choice has its labels, such as rectanglelabels.
LABEL_KEY = re.compile(r"choices|taxonomy|[a-z]*labels")
UPLOADS = ("/data/upload/", "/data/local-files/", "http://", "https://", "s3://", "gs://")


def is_it(content: dict | list) -> bool:
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    return _is_task(content[0]) or "annotation_id" in content[0] or "lead_time" in content[0]


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    by_picture: dict[str, list[dict[str, set[str]]]] = {}
    if _is_task(content[0]):
        # A picture that was imported twice has two tasks.
        for task in content:
            picture = _picture(task["data"], task)
            by_picture.setdefault(picture, []).extend(_of_annotators(task))
        for picture, said in by_picture.items():
            yield from _rows(file, picture, said)
        return

    # JSON-MIN has an entry an annotator.
    for entry in content:
        fields = {key: value for key, value in entry.items() if key not in ABOUT_THE_TASK}
        picture = _picture(fields, entry)
        said = {
            key: _labels(value)
            for key, value in fields.items()
            if not (isinstance(value, str) and _is_a_place(value))
        }
        by_picture.setdefault(picture, []).append(said)
    for picture, said in by_picture.items():
        yield from _rows(file, picture, said)


def _is_task(entry: dict) -> bool:
    return isinstance(entry.get("data"), dict) and (
        "annotations" in entry or "completions" in entry or "predictions" in entry
    )


def _is_a_place(value: str) -> bool:
    return is_picture(value.partition("?")[0]) or value.startswith(UPLOADS)


def _picture(fields: dict, entry: dict) -> str:
    """The one field that is a picture's place."""
    for value in fields.values():
        if isinstance(value, str) and _is_a_place(value):
            return value
    if isinstance(entry.get("file_upload"), str):
        return entry["file_upload"]
    raise ValueError(f"task {entry.get('id')} has no picture in its data")


def _of_annotators(task: dict) -> list[dict[str, set[str]]]:
    """Labels by control, of each annotator who did not skip the task."""
    answers = []
    for annotation in task.get("annotations", task.get("completions")) or []:
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        by_control: dict[str, set[str]] = {}
        for result in annotation.get("result", []):
            labels = _labels(result.get("value", {}))
            if labels:
                by_control.setdefault(str(result.get("from_name")), set()).update(labels)
        answers.append(by_control)
    return answers


def _labels(value) -> set[str]:
    """Names in text, {"choices": [...]}, {"rectanglelabels": [...]}, or a list of these."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, list):
        return {label for entry in value for label in _labels(entry)}
    if isinstance(value, dict):
        return _labels([entry for key, entry in value.items() if LABEL_KEY.fullmatch(key)])
    return set()


def _rows(file: LabelFile, picture: str, answers: list[dict[str, set[str]]]) -> Iterator[LabelRow]:
    """A label that all annotators name is there, one that some name is unknown."""
    if not answers:
        yield unlabelled(picture, file.split)
        return
    counts = Counter()
    for by_control in answers:
        counts.update(set().union(*_chosen(file, by_control).values()))
    for label, count in sorted(counts.items()):
        state = PRESENT if count == len(answers) else UNKNOWN
        yield LabelRow(picture, file.split, label, state)
    if not counts:
        yield LabelRow(picture, file.split, "")


def _chosen(file: LabelFile, by_control: dict[str, set[str]]) -> dict[str, set[str]]:
    """The controls whose labels are read. Raises Question for several without an answer."""
    wanted = file.answers.label_columns
    if wanted:
        return {control: by_control[control] for control in wanted if control in by_control}
    controls = sorted(control for control, labels in by_control.items() if labels)
    if len(controls) > 1:
        options = " ".join(f"--labels-column {control}" for control in controls)
        raise Question(
            f"{file.path}: labels of several controls ({', '.join(controls)}); say which hold "
            f"labels, all of them with {options}"
        )
    return by_control
