"""SuperAnnotate's JSON: a file a picture, `1.jpg.json` or `1.jpg___objects.json`."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, unlabelled

NAME = "SuperAnnotate's files"
NOT_DONE = ("NotStarted", "Skipped")


def is_it(content: dict | list) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("instances"), list)
        and isinstance(content.get("metadata"), dict)
        and "name" in content["metadata"]
    )


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    metadata = content["metadata"]
    # Tags are names alone.
    labels = {instance["className"] for instance in content["instances"]}
    labels |= set(content.get("tags") or [])
    if not labels and metadata.get("status") in NOT_DONE:
        yield unlabelled(metadata["name"], file.split)
        return
    for label in sorted(labels) or [""]:
        yield LabelRow(metadata["name"], file.split, label)
