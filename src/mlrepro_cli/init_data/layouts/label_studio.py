"""Tasks of Label Studio, as its JSON and JSON-MIN exports have them.

Where annotators differ on a label, nobody knows it.
"""

import re
from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.annotators import agreed
from mlrepro_cli.init_data.layouts.beside_pictures import WORDS
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, first_record
from mlrepro_cli.pictures import is_picture

NAME = "Label Studio's tasks"
# Fields of JSON-MIN that hold no label.
ABOUT_THE_TASK = (
    "id annotator annotation_id created_at updated_at lead_time agreement file_upload".split()
)
# Where a region or a choice has its labels, such as rectanglelabels.
LABEL_KEY = re.compile(r"choices|taxonomy|[a-z]*labels")
LOCAL = "/data/local-files/"
UPLOADS = ("/data/upload/", LOCAL, "http://", "https://", "s3://", "gs://")


def is_it(content: dict | list) -> bool:
    first = first_record(content)
    return _is_task(first) or "annotation_id" in first or "lead_time" in first


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    by_picture: dict[str, list[dict[str, set[str]]]] = {}
    if _is_task(content[0]):
        # A picture that was imported twice has two tasks.
        for task in content:
            picture = _picture(file, task["data"], task)
            by_picture.setdefault(picture, []).extend(_of_annotators(task))
        for picture, said in by_picture.items():
            yield from _rows(file, picture, said)
        return

    # JSON-MIN has an entry an annotator.
    for entry in content:
        fields = {key: value for key, value in entry.items() if key not in ABOUT_THE_TASK}
        picture = _picture(file, fields, entry)
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


def _picture(file: LabelFile, fields: dict, entry: dict) -> str:
    """The one field that is a picture's place. Raises Question for several pictures."""
    places = {
        key: value
        for key, value in fields.items()
        if isinstance(value, str) and _is_a_place(value) and key not in file.answers.ignore_columns
    }
    chosen = [places[key] for key in file.answers.image_columns if key in places]
    if chosen:
        return chosen[0]

    # An address may be of a page, too, and a second picture a thumbnail.
    pictures = {key: value for key, value in places.items() if is_picture(_path(value))}
    own = {
        key: value
        for key, value in pictures.items()
        if not WORDS & set(re.findall(r"[a-z]+", key.lower()))
    }
    found = own or pictures or places
    if len({_path(value).rpartition("/")[2] for value in found.values()}) > 1:
        raise Question(
            f"{file.path}: task {entry.get('id')} has pictures in {', '.join(found)}; say which "
            f"the labels are of: {' or '.join(f'--image-column {key!r}' for key in found)}"
        )
    if found:
        return next(iter(found.values()))
    if isinstance(entry.get("file_upload"), str):
        return entry["file_upload"]
    raise ValueError(f"task {entry.get('id')} has no picture in its data")


def _path(value: str) -> str:
    """Without a query, but for that of a local file."""
    path, _, query = value.partition("?")
    return query.partition("d=")[2] if value.startswith(LOCAL) else path


def _of_annotators(task: dict) -> list[dict[str, set[str]]]:
    """Labels by control, of each annotator who did not skip the task."""
    answers = []
    annotations = [
        annotation
        for annotation in task.get("annotations", task.get("completions")) or []
        if not (annotation.get("was_cancelled") or annotation.get("skipped"))
    ]
    # The one that a reviewer has marked as true counts alone.
    true = [annotation for annotation in annotations if annotation.get("ground_truth")]
    for annotation in true or annotations:
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
    said = [set().union(*_chosen(file, by_control).values()) for by_control in answers]
    yield from agreed(picture, file.split, said)


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
