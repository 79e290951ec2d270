"""Labelbox's export: a line of JSON a picture, with the labels of each project and person."""

from collections.abc import Iterator

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.annotators import agreed
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, first_record
from mlrepro_cli.pictures import is_picture

NAME = "Labelbox's export"
# In `--labels-column`, what is drawn.
OBJECTS = "objects"
# What the user calls a picture, and where it is kept.
NAME_KEYS = ("external_id", "global_key", "row_data")
ANSWERS = ("radio_answer", "checklist_answers")


def is_it(content: dict | list) -> bool:
    first = first_record(content)
    return isinstance(first.get("data_row"), dict) and "projects" in first


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    # A picture that was imported twice has two rows.
    said: dict[str, list[dict[str, set[str]]]] = {}
    for row in content:
        said.setdefault(_picture(row["data_row"]), []).extend(_of_annotators(row))
    questions = sorted({key for people in said.values() for labels in people for key in labels})
    wanted = file.answers.label_columns
    if len(questions) > 1 and not wanted:
        options = " ".join(f"--labels-column {question!r}" for question in questions)
        raise Question(
            f"{file.path}: labels are of several questions ({', '.join(questions)}; {OBJECTS} is "
            f"what was drawn); say which hold labels, all of them with {options}"
        )

    unknown = sorted(set(wanted) - set(questions))
    if questions and unknown:
        raise InputError(
            f"{file.path}: --labels-column {unknown[0]}: no question; "
            f"{nearest(unknown[0], questions)}"
        )

    for picture, people in said.items():
        chosen = [
            {
                label
                for key, found in labels.items()
                if key in (wanted or questions)
                for label in found
            }
            for labels in people
        ]
        yield from agreed(picture, file.split, chosen)


def _picture(row: dict) -> str:
    """The name that the user gave, where it is one."""
    names = [str(row[key]) for key in NAME_KEYS if row.get(key)]
    if not names:
        raise ValueError(f"data row {row.get('id')} has no external_id, and no row_data")

    # An address may have a question behind the name.
    for name in names:
        if is_picture(name.partition("?")[0]):
            return name
    return names[0]


def _of_annotators(row: dict) -> list[dict[str, set[str]]]:
    """Labels by question, of each person; what was skipped says nothing."""
    answers = []
    for project in row["projects"].values():
        for label in project.get("labels") or []:
            if (label.get("performance_details") or {}).get("skipped"):
                continue
            annotations = label.get("annotations") or {}
            of_person: dict[str, set[str]] = {}
            for drawn in annotations.get(OBJECTS) or []:
                of_person.setdefault(OBJECTS, set()).add(drawn["name"])
                _add_answers(of_person, drawn)
            _add_answers(of_person, annotations)
            answers.append(of_person)
    return answers


def _add_answers(of_person: dict[str, set[str]], asked_of: dict) -> None:
    """Those to questions on a picture or an object, or behind another answer."""
    for question in asked_of.get("classifications") or []:
        for key in ANSWERS:
            found = question.get(key) or []
            for answer in found if isinstance(found, list) else [found]:
                of_person.setdefault(question["name"], set()).add(answer["name"])
                _add_answers(of_person, answer)
