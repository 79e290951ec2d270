"""Label Studio's JSON: a task a picture, with what persons chose for it."""

from typing import Any

Record = dict[str, Any]

# What a version calls the answers of persons.
ANSWER_KEYS = ("annotations", "completions")


def is_task(record: Record) -> bool:
    return isinstance(record.get("data"), dict) and any(key in record for key in ANSWER_KEYS)


def task_records(tasks: list[Record]) -> list[Record]:
    """A record a person who has answered: the task's data, and all labels that were chosen.

    A task that nobody has answered has no record, as it says nothing.
    """
    records = []
    for task in tasks:
        for key in ANSWER_KEYS:
            for answer in task.get(key) or ():
                if not answer.get("was_cancelled"):
                    labels = _chosen(answer.get("result") or [])
                    person = answer.get("completed_by", "")
                    records.append(task["data"] | {"choices": labels, "annotator": str(person)})
    return records


def _chosen(results: list[Record]) -> list[str]:
    """Of choices for the whole picture, and of regions in it."""
    labels = []
    for result in results:
        value = result.get("value", {})
        for key, names in value.items():
            if key == "choices" or key.endswith("labels"):
                labels += names
    return list(dict.fromkeys(labels))
